//! Several requests over one connection, whatever threads answer them.

use agentcore_runtime::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Server, echoes, raw_invocation, read_until};

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
