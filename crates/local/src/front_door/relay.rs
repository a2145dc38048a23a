//! An open WebSocket between a caller and its sandbox: bytes passed on in both directions, until one side ends.
//!
//! Each direction reads no more than the other side takes, and ends for itself. What is said on the connection is the
//! agent's matter; the front door has a word of its own only where the agent cannot say goodbye any more.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::frames::{Excess, FrameLimits, Frames, close_frame};
use super::proxy::Trouble;
use crate::error::EndCause;
use crate::sandbox::client::Raw;
use crate::sandbox::{OpenSocket, Sandbox};

/// So much is read at a time, in each direction.
const CHUNK: usize = 8 * 1024;

/// How long one side may stay, silent, once the other has ended.
const LINGER: Duration = Duration::from_secs(5);

/// The caller's end of the connection.
pub(crate) struct Caller {
    pub(crate) stream: TcpStream,
    /// What came right after the handshake.
    pub(crate) early: Bytes,
    /// What frames it may send; any, if there are none.
    pub(crate) limits: Option<FrameLimits>,
}

/// How the passing on of bytes ended.
enum Over {
    /// The caller has left, or takes nothing any more.
    CallerLeft,
    /// The sandbox closed its end, or is gone.
    SandboxClosed,
    /// The caller sent what it may not send.
    Excess(Excess),
}

/// Passes bytes on until both sides have ended, and sees to it that both learn of it.
pub(crate) async fn relay(caller: Caller, sandbox: Raw, socket: OpenSocket) {
    let mut stream = caller.stream;
    let (mut from_sandbox, mut to_sandbox) = tokio::io::split(sandbox.stream);
    let moved = AtomicU64::new(0);
    let mut up = Way::new(caller.early, caller.limits, &socket, &moved);
    let mut down = Way::new(sandbox.early, None, &socket, &moved);
    let over = {
        let (mut from_caller, mut to_caller) = stream.split();
        let up = async {
            let end = up.carry(&mut from_caller, &mut to_sandbox).await;
            if matches!(end, WayEnd::Read(_)) {
                // The agent may answer a caller who has said all.
                let _ = to_sandbox.shutdown().await;
            }
            end
        };
        let down = down.carry(&mut from_sandbox, &mut to_caller);
        until_over(up, down, socket.sandbox(), &moved).await
    };
    let may_speak = down.frames.is_between() && !down.frames.has_closed() && !down.is_writing;
    let farewell = match over {
        Over::CallerLeft => return,
        Over::Excess(excess) => Some((excess.code, excess.reason)),
        Over::SandboxClosed if may_speak => why_it_closed(socket.sandbox()).await,
        Over::SandboxClosed => None,
    };
    let farewell = farewell.filter(|_| may_speak);
    let farewell = farewell.map(|(code, reason)| close_frame(code, &reason));
    let goodbye = Goodbye {
        farewell,
        // Who does not read will not hang up either, and who has said goodbye has nothing more to say.
        waits: !down.is_writing && !up.frames.has_closed(),
    };
    // The agent has no part in it.
    drop((from_sandbox, to_sandbox));
    drop(socket);
    let _ = timeout(LINGER, goodbye.say(stream)).await;
}

/// Waits until nothing more is to be passed on.
async fn until_over(
    up: impl Future<Output = WayEnd>,
    down: impl Future<Output = WayEnd>,
    sandbox: &Sandbox,
    moved: &AtomicU64,
) -> Over {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let mut gone = pin!(async {
        sandbox.gone().await;
        // Its last words may still be on their way, and the caller need not read them.
        sleep(LINGER).await;
    });
    let after = |end| match end {
        WayEnd::Write => Over::CallerLeft,
        WayEnd::Read(_) => Over::SandboxClosed,
        WayEnd::Excess(excess) => Over::Excess(excess),
    };
    tokio::select! {
        // What the agent has said goes before what became of it.
        biased;
        end = &mut down => return after(end),
        end = &mut up => match end {
            WayEnd::Read(Err(_)) => return Over::CallerLeft,
            WayEnd::Excess(excess) => return Over::Excess(excess),
            // What the agent said before it stopped reading, or says to a caller who has said all, is still to come.
            WayEnd::Read(Ok(())) | WayEnd::Write => {}
        },
        () = &mut gone => return Over::SandboxClosed,
    }
    tokio::select! {
        biased;
        end = down => after(end),
        () = gone => Over::SandboxClosed,
        () = silence(moved) => Over::CallerLeft,
    }
}

/// Waits until nothing has moved for a while.
async fn silence(moved: &AtomicU64) {
    loop {
        let before = moved.load(Ordering::Relaxed);
        sleep(LINGER).await;
        if moved.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// Returns what a caller is told if the sandbox has ended; nothing if it lives and just hung up.
async fn why_it_closed(sandbox: &Arc<Sandbox>) -> Option<(u16, String)> {
    let trouble = tokio::select! {
        biased;
        trouble = Trouble::of_broken_connection(sandbox) => trouble,
        // Who answers is alive, so that nobody waits for its end.
        () = sandbox.answers() => return None,
    };
    let Trouble::Died(failure) = &trouble else {
        return None;
    };
    let code = match failure.cause {
        EndCause::Stopped
        | EndCause::Idle { .. }
        | EndCause::MaxLifetime { .. }
        | EndCause::FrontDoorEnded => 1001,
        _ => 1011,
    };
    Some((code, trouble.to_string()))
}

/// The end of a caller's connection.
struct Goodbye {
    /// The last word.
    farewell: Option<Vec<u8>>,
    /// Whether the caller is to hang up first: who is hung up on while it sends may lose what was said to it.
    waits: bool,
}

impl Goodbye {
    async fn say(self, mut stream: TcpStream) -> io::Result<()> {
        if let Some(frame) = self.farewell {
            stream.write_all(&frame).await?;
        }
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while self.waits && stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

/// One direction.
struct Way<'a> {
    early: Bytes,
    frames: Frames,
    /// Whether some of a chunk has been passed on, and not all.
    is_writing: bool,
    socket: &'a OpenSocket,
    /// How often something moved, in either direction.
    moved: &'a AtomicU64,
}

/// How one direction ended.
enum WayEnd {
    /// There is nothing more to read, or no way to.
    Read(io::Result<()>),
    /// The other side takes nothing more.
    Write,
    /// What was read may not pass.
    Excess(Excess),
}

impl<'a> Way<'a> {
    fn new(
        early: Bytes,
        limits: Option<FrameLimits>,
        socket: &'a OpenSocket,
        moved: &'a AtomicU64,
    ) -> Self {
        Self {
            early,
            frames: Frames::new(limits),
            is_writing: false,
            socket,
            moved,
        }
    }

    /// Passes on what is read until that ends.
    async fn carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> WayEnd {
        let early = std::mem::take(&mut self.early);
        if let Err(end) = self.pass_on(&early, to).await {
            return end;
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(0) => return WayEnd::Read(Ok(())),
                Ok(read) => read,
                Err(error) => return WayEnd::Read(Err(error)),
            };
            if let Err(end) = self.pass_on(&buffer[..read], to).await {
                return end;
            }
        }
    }

    async fn pass_on(
        &mut self,
        bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), WayEnd> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.socket.moved();
        self.moved.fetch_add(1, Ordering::Relaxed);
        let passed = self.frames.pass(bytes, Instant::now());
        let may_pass = match &passed {
            Ok(()) => bytes,
            Err(excess) => &bytes[..excess.at],
        };
        self.is_writing = true;
        to.write_all(may_pass).await.map_err(|_| WayEnd::Write)?;
        self.is_writing = false;
        passed.map_err(WayEnd::Excess)
    }
}
