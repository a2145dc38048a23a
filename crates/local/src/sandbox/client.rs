//! HTTP to one sandbox, over its Unix socket or its published port: a small pool of connections, each driven by the call
//! that uses it.
//!
//! No task is spawned for a connection, so a byte of an answer wakes one task, and a call that is dropped closes its
//! connection at once: the agent sees its caller leave. A connection that is upgraded leaves the pool. Requests are not
//! retried here.

mod upgrade;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::place::{Place, Stream};

pub(crate) use super::request_body::RequestBody;
pub(crate) use upgrade::{Raw, Upgraded};

/// Servers close idle connections after five seconds and more (uvicorn: five); a request must not meet that moment.
const LONGEST_IDLE: Duration = Duration::from_secs(3);

/// More idle connections than this are not kept.
const MOST_IDLE: usize = 256;

/// Items of a stream that have already arrived are handed on together, up to this many bytes.
const BATCH: usize = 16 * 1024;

/// The connections to one sandbox.
#[derive(Debug)]
pub(crate) struct Client {
    place: Place,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Client {
    pub(crate) fn new(place: Place) -> Arc<Self> {
        Arc::new(Self {
            place,
            idle: Mutex::default(),
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Reserves a connection, without sending anything yet.
    pub(crate) async fn reserve(self: &Arc<Self>) -> io::Result<Reserved> {
        Ok(Reserved {
            connection: self.connection().await?,
            client: Arc::clone(self),
        })
    }

    async fn connection(&self) -> io::Result<Connection> {
        while let Some(mut idle) = self.take_idle() {
            if idle.is_usable().await {
                return Ok(idle);
            }
        }
        let stream = TokioIo::new(self.place.connect().await?);
        let handshake = http1::handshake(stream).await;
        let (sender, driver) = handshake.map_err(io::Error::other)?;
        Ok(Connection {
            sender,
            driver: Some(Box::new(driver)),
        })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        // The oldest are first. The pings keep one connection young for ever; the others must not wait under it.
        let too_old = idle.partition_point(|(since, _)| since.elapsed() > LONGEST_IDLE);
        idle.drain(..too_old);
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() < MOST_IDLE {
            idle.push((Instant::now(), connection));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is open and free. Dropped unused, it is closed.
#[derive(Debug)]
pub(crate) struct Reserved {
    connection: Connection,
    client: Arc<Client>,
}

impl Reserved {
    /// Sends `request` and returns the answer as soon as its head is there.
    pub(crate) async fn send(
        self,
        request: Request<RequestBody>,
    ) -> Result<Response<Answer>, hyper::Error> {
        let Self {
            mut connection,
            client,
        } = self;
        let response = connection.exchange(request).await?;
        Ok(response.map(|incoming| Answer {
            incoming,
            connection: Some(connection),
            client,
            failure: None,
        }))
    }
}

/// One connection, and what moves its bytes.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// Gone once the connection is closed. In a box, because connections are passed around and this part is large.
    driver: Option<Box<Driver>>,
}

type Driver = http1::Connection<TokioIo<Stream>, RequestBody>;

impl Connection {
    async fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let answer = self.sender.send_request(request);
        let mut answer = std::pin::pin!(answer);
        let driver = &mut self.driver;
        std::future::poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    async fn is_usable(&mut self) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(self.rests(cx))).await
    }

    /// Moves the connection on and tells whether it is open and free for another request.
    fn rests(&mut self, cx: &mut Context<'_>) -> bool {
        drive(&mut self.driver, cx);
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Moves bytes; drops the driver of a connection that is closed, so that whoever waits for it learns that.
fn drive(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    if let Some(open) = driver
        && Pin::new(open.as_mut()).poll(cx).is_ready()
    {
        *driver = None;
    }
}

/// The body of a sandbox's answer. Dropped before its end, it closes the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    incoming: Incoming,
    /// Given back to the client at the end.
    connection: Option<Connection>,
    client: Arc<Client>,
    /// An error that was met after data that had to be handed on first.
    failure: Option<hyper::Error>,
}

impl Answer {
    /// Returns the next data that has arrived, without waiting for more.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            if let Some(connection) = &mut self.connection {
                drive(&mut connection.driver, cx);
            }
            match std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers belong to this connection, not to the caller's.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.give_back(cx);
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take()
            && connection.rests(cx)
        {
            self.client.keep(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let first = match std::task::ready!(self.poll_piece(cx)) {
            Some(Ok(data)) => data,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let mut batch: Option<BytesMut> = None;
        let mut length = first.len();
        while length < BATCH && !self.incoming.is_end_stream() {
            match self.poll_piece(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    length += data.len();
                    let batch = batch.get_or_insert_with(|| BytesMut::from(&first[..]));
                    batch.extend_from_slice(&data);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failure = Some(error);
                    break;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        // A reader that knows the length may never ask for the end.
        if self.incoming.is_end_stream() && self.failure.is_none() {
            self.give_back(cx);
        }
        let data = batch.map_or(first, BytesMut::freeze);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // An empty body is at its end without ever being read.
        if self.failure.is_none() && self.incoming.is_end_stream() {
            self.give_back(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixStream;
    use tokio_util::either::Either;

    #[tokio::test]
    async fn old_connections_do_not_wait_under_a_young_one() {
        let client = Client::new(Place::port(0));
        let mut others = Vec::new();
        for age in [LONGEST_IDLE * 3, LONGEST_IDLE * 2, Duration::ZERO] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (sender, driver) = http1::handshake(TokioIo::new(Either::Left(ours)))
                .await
                .unwrap();
            let driver = Some(Box::new(driver));
            let since = Instant::now().checked_sub(age).unwrap();
            client.lock().push((since, Connection { sender, driver }));
            others.push(theirs);
        }
        assert!(client.take_idle().is_some());
        assert!(client.lock().is_empty(), "the old ones are closed");
        assert!(client.take_idle().is_none());
    }
}
