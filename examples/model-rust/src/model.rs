//! A client of a chat completions API, for one question at a time, streamed.
//!
//! It sends one request and never repeats it: what a second try would cost is the caller's to decide. No message
//! that leaves this file holds the key.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::sse::Decoder;
use agentcore_runtime::{Failure, StatusCode, Stream};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Answer;
use crate::settings::Settings;

const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long the model may be silent, before its first token and between two.
const SILENCE: Duration = Duration::from_mins(2);

/// The longest event of a model that is read, in bytes; a token is a few hundred.
const LONGEST_EVENT: usize = 1 << 20;

/// How much of a refusal is read, in bytes, and told, in characters.
const LONGEST_REFUSAL: usize = 16 * 1024;
const LONGEST_REASON: usize = 500;

/// A model behind an endpoint. Cloning is cheap, and clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    client: Client,
    settings: Arc<Settings>,
}

impl Model {
    /// Creates the client; nothing is sent yet.
    pub(crate) fn new(settings: Settings) -> reqwest::Result<Self> {
        #[cfg(feature = "tls")]
        // Fails only where a provider was chosen already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(SILENCE)
            // A redirect would take prompt and key to a place that nobody named.
            .redirect(Policy::none())
            .build()?;
        Ok(Self {
            client,
            settings: settings.into(),
        })
    }

    /// Asks, and returns what the model says as it says it.
    ///
    /// # Errors
    ///
    /// Fails with 502 if the model cannot be reached or refuses, with 503 if it is busy, with 504 if it is silent.
    pub(crate) async fn ask(
        &self,
        prompt: &str,
        system: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Answer, Failure>> + use<>, Failure> {
        let Settings {
            url,
            model,
            api_key,
        } = &*self.settings;
        let message = |role, content| json!({ "role": role, "content": content });
        let mut messages: Vec<Value> = system.map(|it| message("system", it)).into_iter().collect();
        messages.push(message("user", prompt));
        let question = json!({ "model": model, "messages": messages, "stream": true });
        let mut request = self
            .client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .body(question.to_string());
        if let Some(key) = api_key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| broken(&error))?;
        if !response.status().is_success() {
            return Err(refused(response, api_key.as_deref()).await);
        }
        let reading = Reading {
            bytes: response.bytes_stream().boxed(),
            decoder: Decoder::new(),
            since_event: 0,
            ready: VecDeque::new(),
            api_key: api_key.clone(),
            is_over: false,
        };
        Ok(stream::unfold(reading, async |mut reading| {
            Some((reading.next().await?, reading))
        }))
    }
}

/// A model's answer while it comes.
struct Reading {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    decoder: Decoder,
    /// How many bytes came since the last event.
    since_event: usize,
    ready: VecDeque<Answer>,
    api_key: Option<String>,
    is_over: bool,
}

impl Reading {
    /// The next part of the answer; `None` once it is whole, or after a failure.
    async fn next(&mut self) -> Option<Result<Answer, Failure>> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Some(Ok(answer));
            }
            if self.is_over {
                return None;
            }
            if let Err(failure) = self.read().await {
                self.is_over = true;
                return Some(Err(failure));
            }
        }
    }

    /// Reads until an event has come, or the end.
    async fn read(&mut self) -> Result<(), Failure> {
        if let Some(event) = self.decoder.next() {
            self.since_event = 0;
            return self.take(&event.data);
        }
        match self.bytes.next().await {
            Some(Ok(bytes)) => {
                self.since_event += bytes.len();
                if self.since_event > LONGEST_EVENT {
                    return Err(bad_gateway("the model sends an event without an end"));
                }
                self.decoder.push(&bytes);
                Ok(())
            }
            Some(Err(error)) => Err(broken(&error)),
            // Every whole answer ends with `[DONE]`: what stops before it must not look whole.
            None => Err(bad_gateway("the model's answer broke off")),
        }
    }

    /// Takes one event apart.
    fn take(&mut self, data: &str) -> Result<(), Failure> {
        if data == "[DONE]" {
            self.is_over = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|_| bad_gateway("the model sent an event that is no chat completion"))?;
        if let Some(error) = chunk.error {
            let reason = shown(&reason(&error), self.api_key.as_deref());
            return Err(bad_gateway("the model failed").with_details(reason));
        }
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        let text = choice.delta.content.filter(|text| !text.is_empty());
        self.ready.extend(text.map(Answer::Delta));
        self.ready
            .extend(choice.finish_reason.map(Answer::FinishReason));
        Ok(())
    }
}

/// One event of a model; what we do not use is left out.
#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    /// Some endpoints tell a failure in the middle of the stream so.
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

/// A request that did not come to an answer, or not to its end.
fn broken(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::new(StatusCode::GATEWAY_TIMEOUT, "the model does not answer")
            .with_type("ModelTimeout");
    }
    if error.is_connect() {
        return bad_gateway("the model cannot be reached");
    }
    bad_gateway("the model's answer broke off")
}

/// An answer of the model with a status that is an error.
async fn refused(mut response: Response, api_key: Option<&str>) -> Failure {
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < LONGEST_REFUSAL
        && let Ok(Some(bytes)) = response.chunk().await
    {
        body.extend_from_slice(&bytes);
    }
    let reason = match serde_json::from_slice::<Value>(&body) {
        Ok(value) => reason(value.get("error").unwrap_or(&value)),
        Err(_) => String::from_utf8_lossy(&body).into_owned(),
    };
    let said = format!("the model answered {}", status.as_u16());
    let failure = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, said).with_type("ModelBusy")
        }
        _ => bad_gateway(&said),
    };
    match shown(&reason, api_key) {
        reason if reason.is_empty() => failure,
        reason => failure.with_details(reason),
    }
}

fn bad_gateway(error: &str) -> Failure {
    Failure::new(StatusCode::BAD_GATEWAY, error).with_type("ModelError")
}

/// The sentence in an `error` of the API: a text, or an object with a `message`.
fn reason(error: &Value) -> String {
    match error.get("message").unwrap_or(error) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What of a text from outside may be told: not too much, and never the key, which some endpoints repeat.
fn shown(text: &str, api_key: Option<&str>) -> String {
    let text = match api_key {
        Some(key) => text.replace(key, "[key]"),
        None => text.to_owned(),
    };
    text.trim().chars().take(LONGEST_REASON).collect()
}
