//! Streams of events without a socket, with time that the tests move.

use futures_util::{FutureExt, Stream};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::*;
use crate::body::AnswerBody;
use crate::limits::Hold;

fn bounds(cut: &CancellationToken, limit: Duration) -> Bounds {
    Bounds::new(cut.clone(), limit, Span::none(), Hold::default())
}

fn body_within(
    items: impl Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
    bounds: Bounds,
    keep_alive: Option<Duration>,
) -> AnswerBody {
    let stream: EventStream = Box::pin(items);
    let opened = Opened {
        stream,
        first: None,
    };
    AnswerBody::Events(Box::new(EventBody::new(opened, bounds, keep_alive)))
}

fn body(
    items: impl Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
    cut: &CancellationToken,
) -> AnswerBody {
    body_within(items, bounds(cut, Duration::MAX), None)
}

/// A stream of what is sent into it.
fn fed() -> (
    mpsc::Sender<Result<StreamItem, Failure>>,
    impl Stream<Item = Result<StreamItem, Failure>>,
) {
    let (sender, receiver) = mpsc::channel(1);
    let items = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    (sender, items)
}

fn json(text: &'static str) -> StreamItem {
    StreamItem::Json(Bytes::from_static(text.as_bytes()))
}

async fn frame(body: &mut AnswerBody) -> Option<String> {
    let bytes = body.frame().await?.unwrap().into_data().unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_failure_is_the_last_event() {
    let cut = CancellationToken::new();
    let failed = Failure::internal("broke").with_type("Broken");
    let mut body = body(
        stream::iter([Ok(json("1")), Err(failed), Ok(json("2"))]),
        &cut,
    );
    assert_eq!(
        frame(&mut body).await.as_deref(),
        Some(concat!(
            "data: 1\n\n",
            r#"data: {"error": "broke", "error_type": "Broken", "#,
            r#""message": "An error occurred during streaming"}"#,
            "\n\n"
        ))
    );
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test]
async fn an_event_that_is_ready_alone_is_sent_alone() {
    let (sender, items) = fed();
    let mut body = body(items, &CancellationToken::new());
    for text in ["1", "2"] {
        sender.send(Ok(json(text))).await.unwrap();
        assert_eq!(frame(&mut body).await, Some(format!("data: {text}\n\n")));
    }
    drop(sender);
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test]
async fn an_endless_stream_does_not_fill_memory() {
    let mut body = body(
        stream::repeat_with(|| Ok(json("\"x\""))),
        &CancellationToken::new(),
    );
    let first = frame(&mut body).await.unwrap();
    assert!(first.len() < FRAME_SIZE + 64, "{}", first.len());
}

#[tokio::test]
async fn a_cut_stream_says_so() {
    let cut = CancellationToken::new();
    let mut body = body(stream::iter([Ok(json("1"))]).chain(stream::pending()), &cut);
    assert_eq!(frame(&mut body).await.as_deref(), Some("data: 1\n\n"));
    cut.cancel();
    let last = frame(&mut body).await.unwrap();
    assert!(last.contains("the server is shutting down"), "{last}");
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test]
async fn own_events_keep_their_name() {
    let event = sse::Event {
        event: Some("tick".into()),
        data: "1\n2".into(),
        ..sse::Event::default()
    };
    let mut body = body(
        stream::iter([Ok(StreamItem::Event(event))]),
        &CancellationToken::new(),
    );
    assert_eq!(
        frame(&mut body).await.as_deref(),
        Some("event: tick\ndata: 1\ndata: 2\n\n")
    );
}

const COMMENT: &str = ": keep-alive\n\n";

#[tokio::test(start_paused = true)]
async fn a_comment_comes_after_silence_and_not_before() {
    let (sender, items) = fed();
    let cut = CancellationToken::new();
    let every = Duration::from_secs(10);
    let mut body = body_within(items, bounds(&cut, Duration::MAX), Some(every));
    let began = Instant::now();
    assert_eq!(frame(&mut body).await.as_deref(), Some(COMMENT));
    assert_eq!(began.elapsed(), every);
    assert_eq!(frame(&mut body).await.as_deref(), Some(COMMENT));
    assert_eq!(began.elapsed(), 2 * every);

    // Each event begins the silence anew.
    for _ in 0..5 {
        advance(Duration::from_secs(8)).await;
        sender.send(Ok(json("1"))).await.unwrap();
        assert_eq!(frame(&mut body).await.as_deref(), Some("data: 1\n\n"));
    }
    let spoke = Instant::now();
    assert_eq!(frame(&mut body).await.as_deref(), Some(COMMENT));
    assert_eq!(spoke.elapsed(), every);
    drop(sender);
    assert_eq!(frame(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_keep_alive_silence_stays_silent() {
    let mut body = body(stream::pending(), &CancellationToken::new());
    assert!(frame(&mut body).now_or_never().is_none());
    advance(Duration::from_hours(24)).await;
    assert!(frame(&mut body).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_limit_silent_or_not() {
    let limit = Duration::from_mins(1);
    let ticking = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        Some((Ok(json("1")), ()))
    });
    let endless = stream::repeat_with(|| Ok(json("\"x\"")));
    let streams: [EventStream; 3] = [
        Box::pin(stream::pending()),
        Box::pin(ticking),
        Box::pin(endless),
    ];
    for (number, items) in streams.into_iter().enumerate() {
        let cut = CancellationToken::new();
        let mut body = body_within(items, bounds(&cut, limit), None);
        let began = Instant::now();
        let mut last = String::new();
        while let Some(frame) = frame(&mut body).await {
            last = frame;
            if number == 2 && !last.contains("error") {
                advance(Duration::from_secs(1)).await;
            }
        }
        assert_eq!(began.elapsed(), limit, "{number}");
        assert!(
            last.ends_with(concat!(
                r#"data: {"error": "the stream took longer than its limit of 60 s", "error_type": "InvocationLimit", "#,
                r#""message": "An error occurred during streaming"}"#,
                "\n\n"
            )),
            "{last}"
        );
    }
}

fn opening(
    items: impl Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
    limit: Duration,
) -> impl Future<Output = Result<Opened, Failure>> {
    let cut = CancellationToken::new();
    async move { open(Box::pin(items), &bounds(&cut, limit)).await }
}

/// Returns the whole text of a stream that was opened.
async fn text_of(opened: Opened) -> String {
    let bounds = bounds(&CancellationToken::new(), Duration::MAX);
    let body = AnswerBody::Events(Box::new(EventBody::new(opened, bounds, None)));
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_item_decides_about_the_answer() {
    let chosen = Failure::new(StatusCode::NOT_FOUND, "no such order");
    let refused = opening(
        stream::iter([Err(chosen.clone()), Ok(json("1"))]),
        Duration::MAX,
    );
    assert_eq!(refused.await.err(), Some(chosen.clone()));

    let plain = Failure::internal("broke").with_type("Broken");
    let opened = opening(stream::iter([Err(plain), Ok(json("1"))]), Duration::MAX);
    assert_eq!(
        text_of(
            opened
                .await
                .unwrap_or_else(|_| panic!("a plain failure is an event"))
        )
        .await,
        concat!(
            r#"data: {"error": "broke", "error_type": "Broken", "#,
            r#""message": "An error occurred during streaming"}"#,
            "\n\n"
        )
    );

    let later = opening(stream::iter([Ok(json("1")), Err(chosen)]), Duration::MAX);
    let text = text_of(
        later
            .await
            .unwrap_or_else(|_| panic!("the first item is fine")),
    )
    .await;
    assert!(
        text.starts_with("data: 1\n\ndata: {\"error\": \"no such order\""),
        "{text}"
    );

    let empty = opening(stream::empty(), Duration::MAX).await;
    assert_eq!(
        text_of(empty.unwrap_or_else(|_| panic!("no item, no failure"))).await,
        ""
    );
}

#[tokio::test(start_paused = true)]
async fn the_head_waits_for_the_first_item_no_longer_than_it_must() {
    let began = Instant::now();
    let ready = opening(stream::iter([Ok(json("1"))]), Duration::MAX);
    assert!(ready.now_or_never().is_some(), "without any wait");

    let late = stream::once(async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(json("1"))
    });
    let opened = opening(late, Duration::MAX).await;
    assert_eq!(began.elapsed(), FIRST_ITEM);
    assert_eq!(
        text_of(opened.unwrap_or_else(|_| panic!("silence is no failure"))).await,
        "data: 1\n\n"
    );

    let began = Instant::now();
    let limit = Duration::from_millis(300);
    assert!(opening(stream::pending(), limit).await.is_ok());
    assert_eq!(began.elapsed(), limit, "not beyond the stream's own limit");
}
