//! Several requests over one connection, whatever threads answer them.

use std::io::{Read, Write};
use std::net::TcpStream as BlockingStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use agentcore_runtime::{App, Limits};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::support::{PATIENCE, Server, echoes, raw_invocation, read_until};

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    for app in echoes() {
        let server = Server::start(app).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let numbers = 100..200;
        let requests = numbers.clone().map(|it| raw_invocation(&it.to_string()));
        let requests: String = requests.collect();
        stream.write_all(requests.as_bytes()).await.unwrap();
        let answers = read_until(&mut stream, "\r\n\r\n199").await;
        let bodies = answers.split("HTTP/1.1 200 OK\r\n").filter_map(|answer| {
            let (_, body) = answer.split_once("\r\n\r\n")?;
            body.parse().ok()
        });
        assert_eq!(bodies.collect::<Vec<u32>>(), numbers.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_place_is_enough_for_a_caller_who_asks_again_and_again() {
    for app in echoes() {
        let limits = Limits::default().running(1).queued(0);
        let server = Server::start(app.limits(limits)).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..200 {
            let request = raw_invocation("1");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_until(&mut stream, "\r\n\r\n1").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }
}

/// Serves on a thread of its own, which `blocks` can stop; returns where.
fn serve_on_one_thread(app: App, blocks: Receiver<()>) -> std::net::SocketAddr {
    let (tell, told) = channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let ends = async move {
                let begun = tokio::task::spawn_blocking(move || blocks.recv().map(|()| blocks));
                let blocks = begun.await.unwrap().unwrap();
                // Now the server's only thread stands still.
                let _ = blocks.recv();
            };
            app.serve(listener, ends).await.unwrap();
        });
    });
    told.recv().unwrap()
}

#[test]
fn an_answer_is_sent_though_the_threads_of_the_server_stand_still() {
    let (entered, enters) = channel();
    let (go_on, goes_on) = channel();
    let goes_on = Arc::new(Mutex::new(goes_on));
    let app = App::new(move |payload: Value| {
        entered.send(()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        payload
    });
    let (block, blocks) = channel();
    let address = serve_on_one_thread(app, blocks);
    let mut stream = BlockingStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(raw_invocation("1").as_bytes()).unwrap();
    enters.recv().unwrap();
    block.send(()).unwrap();
    // Until it stands still: a ping is not answered any more.
    let mut idle = BlockingStream::connect(address).unwrap();
    idle.set_read_timeout(Some(PATIENCE / 40)).unwrap();
    let mut answer = [0; 1024];
    while idle
        .write_all(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n")
        .is_ok()
    {
        if idle.read(&mut answer).is_err() {
            break;
        }
    }
    go_on.send(()).unwrap();
    let count = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n1"), "{answer}");
}
