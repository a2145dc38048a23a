//! An agent that asks a language model through a chat completions API, and streams what it says.
//!
//! The prompt goes to the model as it is, and nothing is remembered between invocations.

mod model;
mod settings;
#[cfg(test)]
mod tests;

use std::error::Error;

use agentcore_runtime::{App, Failure, Stream};
use serde::{Deserialize, Serialize};

use model::Model;
use settings::Settings;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    app(Model::new(settings)?).run().await?;
    Ok(())
}

/// What a caller asks.
#[derive(Debug, Deserialize)]
struct Question {
    prompt: String,
    /// What the model is told before the prompt.
    system: Option<String>,
}

/// What a caller is sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// Some more text.
    Delta(String),
    /// The end, and why the model stopped there: `stop`, `length`, …
    FinishReason(String),
}

/// The agent around a model.
fn app(model: Model) -> App {
    App::streaming(move |question: Question| {
        let model = model.clone();
        async move { answer(&model, question).await }
    })
}

/// Asks the model. Dropping the stream ends the request to it.
async fn answer(
    model: &Model,
    question: Question,
) -> Result<impl Stream<Item = Result<Answer, Failure>> + use<>, Failure> {
    let Question { prompt, system } = question;
    model.ask(&prompt, system.as_deref()).await
}
