//! How WebSockets through the front door end: by either side, with the sandbox, the session or the front door, and for
//! silence.

use std::time::Duration;

use agentcore_local::{EndCause, Event, Limits};
use futures_util::SinkExt;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::socket_support::{LONG, end_of, next, tell};
use crate::support::{ARN, PATIENCE, Running, eventually, kill, limits};

/// Waits until no call and no WebSocket is open in the first sandbox.
async fn nothing_is_open(door: &Running) {
    let begun = Instant::now();
    while door.status().await.sandboxes[0].open > 0 {
        assert!(begun.elapsed() < PATIENCE, "still open");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_closes_gets_the_agents_goodbye() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    let goodbye = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 4000.into(),
        reason: "enough".into(),
    };
    socket.close(Some(goodbye)).await.unwrap();
    let end = end_of(&mut socket).await;
    assert_eq!(end, Some((4000, "enough".to_owned())));
    nothing_is_open(&door).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_close_passes_as_it_is() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("close")).await.unwrap();
    let end = end_of(&mut socket).await;
    assert_eq!(end, Some((4001, "done".to_owned())));
    nothing_is_open(&door).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_up_and_lives_is_no_end_of_its_sandbox() {
    let door = Running::start().await;
    let pid = door.pid("one").await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("hang up")).await.unwrap();
    let begun = Instant::now();
    assert_eq!(end_of(&mut socket).await, None);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "nobody waits for an end"
    );
    assert_eq!(door.pid("one").await, pid);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sandbox_closes_with_1011_and_the_next_gets_a_fresh_one() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    let pid = door.status().await.sandboxes[0].pid.unwrap();
    kill(pid);
    let reason = "the sandbox of this session ended: signal 9 (SIGKILL)";
    assert_eq!(end_of(&mut socket).await, Some((1011, reason.to_owned())));
    let mut socket = door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    assert_ne!(door.pid("one").await, pid);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_dies_within_a_frame_cuts_the_connection() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("half a frame")).await.unwrap();
    let tokio_tungstenite::MaybeTlsStream::Plain(stream) = socket.get_mut() else {
        panic!("no TLS here");
    };
    let mut half = [0; 7];
    let read = timeout(PATIENCE, stream.read_exact(&mut half)).await;
    read.unwrap().unwrap();
    assert_eq!(half, [0x82, 126, 0x10, 0, 1, 2, 3]);
    kill(door.status().await.sandboxes[0].pid.unwrap());
    // Nothing may be taken for the rest of the frame.
    assert!(matches!(
        timeout(PATIENCE, stream.read(&mut half)).await.unwrap(),
        Ok(0) | Err(_)
    ));
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_session_closes_with_1001() {
    let door = Running::start().await;
    let mut socket = door.socket(LONG).await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    let arn = ARN.replace(':', "%3A").replace('/', "%2F");
    let stop = door.post(
        &format!("/runtimes/{arn}/stopruntimesession"),
        LONG,
        &json!({}),
    );
    assert_eq!(stop.send().await.unwrap().status(), 200);
    let reason = "the sandbox of this session ended: its session was stopped";
    assert_eq!(end_of(&mut socket).await, Some((1001, reason.to_owned())));
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_front_door_closes_with_1001() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    let mut silent = door.socket("two").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    let ending = tokio::spawn(door.end());
    let reason = "the sandbox of this session ended: the front door ended";
    assert_eq!(end_of(&mut socket).await, Some((1001, reason.to_owned())));
    // One that does not even answer a close is not waited for.
    timeout(PATIENCE, ending).await.unwrap().unwrap();
    assert_eq!(end_of(&mut silent).await, Some((1001, reason.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_that_is_dropped_cuts_its_websockets() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    door.abort().await;
    end_of(&mut socket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_without_a_word_is_noticed() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    assert_eq!(door.status().await.sandboxes[0].open, 1);
    drop(socket);
    let hung_up = door.file("hung up");
    eventually("the agent learns of it", || hung_up.exists()).await;
    nothing_is_open(&door).await;
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_in_the_middle_of_a_flood_is_noticed() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("flood")).await.unwrap();
    assert_eq!(next(&mut socket).await.len(), 65_536);
    drop(socket);
    let hung_up = door.file("hung up");
    eventually("the agent learns of it", || hung_up.exists()).await;
    nothing_is_open(&door).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_dies_though_nobody_reads_its_flood() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("flood")).await.unwrap();
    assert_eq!(next(&mut socket).await.len(), 65_536);
    sleep(Duration::from_millis(200)).await;
    kill(door.status().await.sandboxes[0].pid.unwrap());
    eventually("the sandbox ends", || {
        let is_end = |event: &Event| matches!(event, Event::SandboxEnded { .. });
        door.events().iter().any(is_end)
    })
    .await;
    // The front door ends though the caller takes nothing.
    door.end().await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_keeps_its_session_by_what_passes_and_not_by_being_open() {
    let idle = Duration::from_secs(2);
    let short = Limits {
        idle_timeout: idle,
        ..limits()
    };
    let door = Running::limited(short).await;
    let mut socket = door.socket("one").await;
    let begun = Instant::now();
    while begun.elapsed() < 2 * idle {
        assert_eq!(tell(&mut socket, "hi").await, "hi");
        // Frames without a message count too.
        socket.send(Message::Ping(vec![].into())).await.unwrap();
        sleep(idle / 5).await;
    }
    let reason = "the sandbox of this session ended: idle for 2 seconds";
    assert_eq!(end_of(&mut socket).await, Some((1001, reason.to_owned())));
    let idle = EndCause::Idle { seconds: 2 };
    let is_end =
        |event: &Event| matches!(event, Event::SandboxEnded { cause, .. } if *cause == idle);
    eventually("the sandbox ends", || door.events().iter().any(is_end)).await;
    door.end().await;
}
