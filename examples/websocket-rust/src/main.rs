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
    App::new(history).websocket(chat).run().await
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
