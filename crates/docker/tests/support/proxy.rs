//! A socket between a test and the engine, which can be cut: to the test the engine is gone, to everybody else it is not.
//!
//! It also keeps what was sent to the engine, and counts the connections.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agentcore_docker::Endpoint;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// The proxy; dropping it cuts every connection and removes the socket.
pub(crate) struct Proxy {
    tasks: tokio::task::JoinHandle<()>,
    folder: TempDir,
    sent: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts to pass requests on to `engine`.
    pub(crate) fn to(engine: &Endpoint) -> Self {
        let Endpoint::Unix(engine) = engine.clone() else {
            panic!("these tests need an engine on a Unix socket");
        };
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let sent = Arc::default();
        let open = Arc::default();
        let tasks = tokio::spawn(accept(
            listener,
            engine,
            Arc::clone(&sent),
            Arc::clone(&open),
        ));
        Self {
            tasks,
            folder,
            sent,
            open,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.folder.path().join("engine.sock"))
    }

    /// Ends every connection and listens no more; the socket file stays, as after a crash.
    pub(crate) fn cut(&self) {
        self.tasks.abort();
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// All that was sent to the engine so far.
    pub(crate) fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn accept(
    listener: UnixListener,
    engine: PathBuf,
    sent: Arc<Mutex<Vec<u8>>>,
    open: Arc<AtomicUsize>,
) {
    // Aborting this task drops the set, and that aborts the connections.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let engine = UnixStream::connect(&engine).await.unwrap();
        let (sent, open) = (Arc::clone(&sent), Arc::clone(&open));
        open.fetch_add(1, Ordering::Relaxed);
        connections.spawn(async move {
            pass(stream, engine, sent).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn pass(stream: UnixStream, engine: UnixStream, sent: Arc<Mutex<Vec<u8>>>) {
    let (mut from_test, mut to_test) = stream.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_test.read(&mut buffer).await {
            sent.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to_engine.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_engine.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_engine, &mut to_test).await;
        let _ = to_test.shutdown().await;
    };
    // A client that hangs up ends the engine's side too: that is what ends a build.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
