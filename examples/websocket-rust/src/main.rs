//! A chat over a WebSocket: answers word by word, and remembers what its session said, also after the client came back.
//!
//! `/ws` takes texts like `{"prompt": "hello"}`; `POST /invocations` returns the conversation so far.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentcore_runtime::{App, Context, RunError, WebSocket, WebSocketError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long a word takes.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    app().run().await
}

fn app() -> App {
    App::new(history).websocket(chat)
}

#[derive(Deserialize)]
struct Question {
    prompt: String,
}

/// Handles one connection; when the client leaves, `recv` returns `None`, and `?` on a failed `send` is no failure either.
async fn chat(mut socket: WebSocket, context: Context) -> Result<(), WebSocketError> {
    let conversation = Conversation::of(&context);
    let turns = conversation.prompts().len();
    let welcome = json!({ "type": "welcome", "turns": turns });
    socket.send_json(&welcome).await?;
    while let Some(message) = socket.recv().await {
        let Question { prompt } = match message.json() {
            Ok(question) => question,
            Err(error) => {
                let refusal = json!({ "type": "error", "error": error.to_string() });
                socket.send_json(&refusal).await?;
                continue;
            }
        };
        let turn = conversation.add(&prompt);
        for word in format!("You said: {prompt}").split_inclusive(' ') {
            let part = json!({ "type": "delta", "text": word });
            socket.send_json(&part).await?;
            sleep(PAUSE).await;
        }
        let done = json!({ "type": "done", "turn": turn });
        socket.send_json(&done).await?;
    }
    Ok(())
}

async fn history(_: Value, context: Context) -> Value {
    json!({ "prompts": Conversation::of(&context).prompts() })
}

/// What was said in one session.
#[derive(Default)]
struct Conversation(Mutex<Vec<String>>);

impl Conversation {
    /// Returns the session's conversation; a caller without a session gets one of its own.
    fn of(context: &Context) -> Arc<Self> {
        match context.session() {
            None => Arc::default(),
            Some(session) => session.get_or_init(Self::default),
        }
    }

    /// Adds a prompt and returns how many there are.
    fn add(&self, prompt: &str) -> usize {
        let mut prompts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.push(prompt.to_owned());
        prompts.len()
    }

    fn prompts(&self) -> Vec<String> {
        let prompts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::connect_async;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    use super::*;

    /// Connects, says `prompt`, and returns the texts that came until the answer was done.
    async fn talk(port: u16, prompt: &str) -> Vec<Value> {
        let mut request = format!("ws://127.0.0.1:{port}/ws")
            .into_client_request()
            .unwrap();
        let session = "conversation-123".parse().unwrap();
        let name = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id";
        request.headers_mut().insert(name, session);
        let (mut socket, _) = connect_async(request).await.unwrap();
        socket.send(Message::text(prompt)).await.unwrap();
        let mut came = Vec::new();
        while let Some(message) = socket.next().await {
            let text = message.unwrap().into_text().unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            let is_last = value["type"] == "done" || value["type"] == "error";
            came.push(value);
            if is_last {
                break;
            }
        }
        came
    }

    #[tokio::test]
    async fn a_session_is_remembered_by_the_next_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(app().serve(listener, std::future::pending()));
        assert_eq!(
            talk(port, r#"{"prompt": "one two"}"#).await,
            [
                json!({ "type": "welcome", "turns": 0 }),
                json!({ "type": "delta", "text": "You " }),
                json!({ "type": "delta", "text": "said: " }),
                json!({ "type": "delta", "text": "one " }),
                json!({ "type": "delta", "text": "two" }),
                json!({ "type": "done", "turn": 1 }),
            ]
        );
        let again = talk(port, "{}").await;
        assert_eq!(again[0], json!({ "type": "welcome", "turns": 1 }));
        assert_eq!(again[1]["type"], "error", "what is no question is told so");
        serving.abort();
    }
}
