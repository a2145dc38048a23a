//! Building: what is told on the way, what comes of it, and that nothing is left when it is given up.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_docker::{
    Architecture, BuildError, BuildEvent, BuildRequest, Engine, EngineError, Image,
};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, stream};

use crate::support::proxy::Proxy;
use crate::support::{Things, archive, context, eventually, probe_program, raw};

/// What a build needs to have a program in an image with nothing else.
const PROBE: &str = "FROM scratch\nCOPY probe /probe\n";

fn request(things: &Things) -> BuildRequest {
    BuildRequest {
        dockerfile: "deep/Dockerfile".into(),
        tag: format!("{}:1", things.name),
        labels: things.labels(),
        ..BuildRequest::default()
    }
}

fn project(dockerfile: &str) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    context(&[
        ("deep/Dockerfile", dockerfile.as_bytes()),
        ("probe", &probe_program()),
    ])
}

async fn build(things: &Things, dockerfile: &str) -> (Result<Image, BuildError>, Vec<BuildEvent>) {
    let mut events = Vec::new();
    let built = things
        .engine
        .build(&request(things), project(dockerfile), &mut |event| {
            events.push(event);
        })
        .await;
    (built, events)
}

fn steps(events: &[BuildEvent]) -> Vec<(u32, Option<u32>, &str)> {
    let step = |event| match event {
        &BuildEvent::Step {
            number,
            total,
            ref text,
        } => Some((number, total, text.as_str())),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

fn output(events: &[BuildEvent]) -> Vec<&str> {
    let mut lines = Vec::new();
    for event in events {
        if let BuildEvent::Output(line) = event {
            lines.push(line.as_str());
        }
    }
    lines
}

/// The commands of all containers on the engine, ended ones too.
async fn commands(engine: &Engine) -> String {
    raw(engine, "GET", "/containers/json?all=1", "").await
}

#[tokio::test]
async fn a_build_tells_its_steps_and_returns_the_image() {
    let Some(things) = Things::new().await else {
        return;
    };
    let dockerfile = format!(
        "{PROBE}ENV TOKEN=x\nUSER 10001:10001\nEXPOSE 8080\nENTRYPOINT [\"/probe\", \"serve\"]\n"
    );
    let (built, events) = build(&things, &dockerfile).await;
    let image = built.unwrap();

    let steps = steps(&events);
    // The labels are a step too.
    assert_eq!(steps[0], (1, Some(7), "FROM scratch"));
    assert_eq!(steps[1], (2, Some(7), "COPY probe /probe"));
    assert_eq!(steps.len(), 7);
    let id = image.id.trim_start_matches("sha256:");
    assert!(output(&events).contains(&format!("Successfully built {}", &id[..12]).as_str()));
    let size = archive(&[
        ("deep/Dockerfile", dockerfile.as_bytes()),
        ("probe", &probe_program()),
    ])
    .len();
    let sent = events.iter().rev().find_map(|event| match event {
        BuildEvent::Sent(bytes) => Some(*bytes),
        _ => None,
    });
    assert_eq!(sent, Some(size as u64));

    assert_eq!(image.tags, [format!("{}:1", things.name)]);
    assert_eq!(image.labels, things.labels());
    assert_eq!(
        image.architecture,
        Architecture::parse(std::env::consts::ARCH)
    );
    assert_eq!(
        (image.user.as_str(), image.ports.as_slice()),
        ("10001:10001", &["8080/tcp".to_owned()][..])
    );
    assert_eq!(image.entrypoint, ["/probe", "serve"]);
    assert!(
        image.variables.contains(&"TOKEN".to_owned()) && !format!("{image:?}").contains("TOKEN=")
    );
    assert_eq!(
        things.engine.image(&image.tags[0]).await.unwrap(),
        Some(image)
    );
}

#[tokio::test]
async fn a_second_build_is_the_same_image_unless_all_is_to_be_done_again() {
    let Some(things) = Things::new().await else {
        return;
    };
    let dockerfile = format!(
        "{PROBE}RUN [\"/probe\", \"write\", \"/file\", \"{}\"]\n",
        things.name
    );
    let first = build(&things, &dockerfile).await.0.unwrap();
    let second = build(&things, &dockerfile).await.0.unwrap();
    assert_eq!(first, second);
    let again = BuildRequest {
        no_cache: true,
        ..request(&things)
    };
    let third = things
        .engine
        .build(&again, project(&dockerfile), &mut |_| {})
        .await
        .unwrap();
    assert_ne!(first.id, third.id);
    // The name moved on; the first is still found by its labels.
    let mut found: Vec<_> = things.engine.images_with(&things.labels()).await.unwrap();
    found.sort_by_key(|image| image.tags.len());
    let ids: Vec<_> = found.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, [first.id.as_str(), third.id.as_str()]);
    assert!(found[0].tags.is_empty());
}

#[tokio::test]
async fn an_image_in_use_stays_and_one_that_is_gone_is_no_error() {
    let Some(things) = Things::new().await else {
        return;
    };
    let dockerfile = format!(
        "{PROBE}ENV UNIQUE={}\nENTRYPOINT [\"/probe\"]\n",
        things.name
    );
    let image = build(&things, &dockerfile).await.0.unwrap();
    let mut container = things.request(&["serve"]).await;
    container.image.clone_from(&image.id);
    let container = things.engine.create(&container).await.unwrap();
    assert!(!things.engine.remove_image(&image.id).await.unwrap());
    container.remove().await.unwrap();
    assert!(things.engine.remove_image(&image.id).await.unwrap());
    assert!(!things.engine.remove_image(&image.id).await.unwrap());
    assert_eq!(things.engine.image(&image.id).await.unwrap(), None);
    assert!(
        things
            .engine
            .images_with(&things.labels())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_context_that_breaks_off_fails_the_build() {
    let Some(things) = Things::new().await else {
        return;
    };
    let whole = archive(&[
        ("deep/Dockerfile", b"FROM scratch\nCOPY a /a\n"),
        ("a", b"x"),
        ("b", &vec![0; 200_000]),
    ]);
    let half = Bytes::copy_from_slice(&whole[..100_000]);

    let failing = stream::iter([
        Ok(half.clone()),
        Err(io::Error::other("the file b shrank while it was read")),
    ]);
    let error = things
        .engine
        .build(&request(&things), failing, &mut |_| {})
        .await
        .unwrap_err();
    let BuildError::Context(cause) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(cause.to_string(), "the file b shrank while it was read");

    // One that merely ends too early is found out by the engine.
    let short = stream::iter([Ok(half)]);
    let error = things
        .engine
        .build(&request(&things), short, &mut |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("unexpected EOF"), "{error:?}");
    assert_eq!(
        things.engine.image(&request(&things).tag).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_engine_that_refuses_early_is_heard_while_the_context_goes_on() {
    let Some(things) = Things::new().await else {
        return;
    };
    for part in [&b"this is no archive "[..], &[0; 19]] {
        let part = Bytes::from(part.repeat(4096));
        // Not endless: an engine that stores the context before it looks at it would fill its disk.
        let parts = std::iter::repeat_with(move || Ok(part.clone())).take(1000);
        let long = stream::iter(parts);
        let error = things
            .engine
            .build(&request(&things), long, &mut |_| {})
            .await
            .unwrap_err();
        assert!(
            matches!(error, BuildError::Step { step: None, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_context_that_never_ends_can_be_given_up() {
    let Some(things) = Things::new().await else {
        return;
    };
    let proxy = Proxy::to(things.engine.endpoint());
    let engine = Engine::open(&proxy.endpoint()).await.unwrap();
    let endless = stream::iter([Ok(Bytes::from(vec![0; 512]))]).chain(stream::pending());
    let request = request(&things);
    let mut ignore = |_| {};
    let building = engine.build(&request, endless, &mut ignore);
    assert!(
        tokio::time::timeout(Duration::from_millis(500), building)
            .await
            .is_err()
    );
    eventually("the connection is closed", || async { proxy.open() == 0 }).await;
}

#[tokio::test]
async fn a_build_that_is_dropped_ends_on_the_engine() {
    let Some(things) = Things::new().await else {
        return;
    };
    // The engine shows the command line of a container; the number makes it ours.
    let seconds = format!("{}", 100_000 + std::process::id());
    let dockerfile = format!("{PROBE}RUN [\"/probe\", \"sleep\", \"{seconds}\"]\n");
    let events = Arc::new(Mutex::new(Vec::new()));
    let building = tokio::spawn({
        let (engine, request, context) = (
            things.engine.clone(),
            request(&things),
            project(&dockerfile),
        );
        let events = Arc::clone(&events);
        async move {
            engine
                .build(&request, context, &mut |event| {
                    events.lock().unwrap().push(event);
                })
                .await
        }
    });
    let engine = &things.engine;
    eventually("the step runs", || async {
        commands(engine).await.contains(&seconds)
    })
    .await;
    assert_eq!(steps(&events.lock().unwrap()).last().unwrap().0, 3);
    building.abort();
    assert!(building.await.unwrap_err().is_cancelled());
    eventually("its container is gone", || async {
        !commands(engine).await.contains(&seconds)
    })
    .await;
    assert_eq!(engine.image(&request(&things).tag).await.unwrap(), None);
}

#[tokio::test]
async fn an_engine_that_goes_away_fails_the_build() {
    let Some(things) = Things::new().await else {
        return;
    };
    let proxy = Proxy::to(things.engine.endpoint());
    let engine = Engine::open(&proxy.endpoint()).await.unwrap();
    let seconds = format!("{}", 200_000 + std::process::id());
    let dockerfile = format!("{PROBE}RUN [\"/probe\", \"sleep\", \"{seconds}\"]\n");
    let building = tokio::spawn({
        let (request, context) = (request(&things), project(&dockerfile));
        async move { engine.build(&request, context, &mut |_| {}).await }
    });
    eventually("the step runs", || async {
        commands(&things.engine).await.contains(&seconds)
    })
    .await;
    proxy.cut();
    let error = building.await.unwrap().unwrap_err();
    let BuildError::Engine(EngineError::Broken { action, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(action, "build the image");
    eventually("its container is gone", || async {
        !commands(&things.engine).await.contains(&seconds)
    })
    .await;
}

#[tokio::test]
async fn labels_with_any_text_are_kept() {
    let Some(things) = Things::new().await else {
        return;
    };
    let mut labels = things.labels();
    labels.insert(
        "path".to_owned(),
        "/home/me/my \"agent\" = $HOME ä".to_owned(),
    );
    let request = BuildRequest {
        labels: labels.clone(),
        ..request(&things)
    };
    let image = things
        .engine
        .build(&request, project(PROBE), &mut |_| {})
        .await
        .unwrap();
    assert_eq!(image.labels, labels);
    let found = things
        .engine
        .images_with(&BTreeMap::from_iter(labels))
        .await
        .unwrap();
    assert_eq!(found, [image]);
}
