//! What runs in the containers of these tests: it does what its arguments, or the requests that it gets, tell it.
//!
//! One file, the standard library only, so that `rustc` alone makes a static program of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    match argument(0) {
        "serve" => serve(),
        "exit" => std::process::exit(argument(1).parse().unwrap()),
        "sleep" => std::thread::sleep(Duration::from_secs(argument(1).parse().unwrap())),
        "print" => print(argument(1).parse().unwrap()),
        "fail" => {
            println!("to standard output");
            eprintln!("{}", argument(2));
            std::process::exit(argument(1).parse().unwrap());
        }
        "write" => std::fs::write(argument(1), argument(2)).unwrap(),
        other => panic!("probe does not know {other:?}"),
    }
}

/// Numbered lines, the even ones on standard output and the odd ones on standard error.
fn print(lines: u32) {
    for number in 0..lines {
        if number % 2 == 0 {
            println!("line {number}");
        } else {
            eprintln!("line {number}");
        }
    }
}

/// An HTTP server whose paths are commands: `GET /env/NAME`.
fn serve() {
    let port: u16 = std::env::var("PORT").map_or(8080, |port| port.parse().unwrap());
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("listening");
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let (command, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let body = obey(command, argument);
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

fn obey(command: &str, argument: &str) -> String {
    match command {
        "env" => std::env::var(argument).unwrap_or_default(),
        "write" => match std::fs::write(format!("/{argument}"), "x") {
            Ok(()) => "written".to_owned(),
            Err(error) => error.to_string(),
        },
        "status" => std::fs::read_to_string("/proc/self/status").unwrap(),
        "say" => {
            println!("{argument}");
            String::new()
        }
        "exit" => std::process::exit(argument.parse().unwrap()),
        "eat" => eat(argument.parse().unwrap()),
        "threads" => threads(argument.parse().unwrap()),
        "connect" => {
            let address = argument.to_socket_addrs().unwrap().next().unwrap();
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
                Ok(_) => "connected".to_owned(),
                Err(error) => error.to_string(),
            }
        }
        "address" => own_address(),
        other => format!("probe does not know {other:?}"),
    }
}

/// Takes so many megabytes and touches every page.
fn eat(megabytes: usize) -> String {
    let mut memory = vec![0u8; megabytes << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
    "eaten".to_owned()
}

/// Starts so many threads and says how many started.
fn threads(count: u32) -> String {
    let sleep = || std::thread::sleep(Duration::from_secs(2));
    let started = (0..count).filter_map(|_| std::thread::Builder::new().spawn(sleep).ok());
    started.count().to_string()
}

/// The address that others see, by the route to a documentation network.
fn own_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip().to_string()
}
