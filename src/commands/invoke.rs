//! `agentcore invoke`: sends one payload and shows the answer as it arrives.
//!
//! Stdout carries the answer alone. The session is remembered after a success, so that the next call continues it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use agentcore_protocol::ServiceSessionId;
use agentcore_protocol::error::StreamError;
use http::HeaderValue;
use serde::Serialize;
use serde_json::value::RawValue;

use super::chosen::Chosen;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::session::TypedSessionId;
use crate::services::invoke::{self, Answer, BodyKind, Call, Target};
use crate::services::local::record::{Presence, Record};
use crate::services::payload;
use crate::ui::answer::{self, AnswerError, BodyText, EventLines, EventText};

/// What was typed after `invoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct InvokeArgs {
    /// JSON to send as it is, or text that becomes `{"prompt": TEXT}`; `@FILE` reads a file, `-` standard input
    #[arg(allow_negative_numbers = true)]
    payload: String,
    /// Invoke this agent instead of the project's default
    #[arg(long, short, value_name = "NAME")]
    agent: Option<String>,
    /// Invoke the agent that runs on this machine
    #[arg(long, short)]
    local: bool,
    /// Talk in this session; a short id is lengthened
    #[arg(long, short, value_name = "ID", conflicts_with = "new_session")]
    session_id: Option<TypedSessionId>,
    /// Begin another session instead of continuing the last one
    #[arg(long)]
    new_session: bool,
    /// Show this token to the agent's authorizer (or set `BEDROCK_AGENTCORE_BEARER_TOKEN`, which other users cannot see)
    #[arg(long, value_name = "TOKEN")]
    bearer_token: Option<Token>,
}

/// A bearer token; never shown.
#[derive(Clone)]
struct Token(String);

/// What will be sent, and where.
struct Settings {
    chosen: Chosen,
    target: Target,
    call: Call,
}

/// The result of `invoke --output json` for an answer that is no stream.
#[derive(Serialize)]
struct InvokeReport {
    session_id: String,
    response: Box<RawValue>,
}

pub(crate) fn run(ctx: &Context, args: InvokeArgs) -> Result<ExitCode, CliError> {
    let Settings {
        chosen,
        target,
        call,
    } = Settings::resolve(args, ctx)?;
    let session = call.session.clone();
    let shown = exchange(ctx, target, call);
    // A reader that went away has had its answer, or as much of it as it wanted.
    if matches!(&shown, Ok(()) | Err(Failed { began: true, .. })) {
        remember(ctx, &chosen, &session);
    }
    shown
        .map(|()| ExitCode::SUCCESS)
        .map_err(|failed| failed.error)
}

/// Why the answer was not shown to its end.
struct Failed {
    error: CliError,
    /// The agent had begun to answer well, and only the reader is gone.
    began: bool,
}

impl Settings {
    fn resolve(args: InvokeArgs, ctx: &Context) -> Result<Self, CliError> {
        let InvokeArgs {
            payload,
            agent,
            local,
            session_id,
            new_session,
            bearer_token,
        } = args;
        let chosen = Chosen::resolve(ctx, agent.as_deref())?;
        let body = payload::read(&payload, &ctx.cwd, io::stdin().lock())?;
        let authorization = authorization(ctx, bearer_token.as_ref())?;
        let record = front_door(ctx, &chosen, local)?;
        if authorization.is_some() {
            ctx.printer
                .status("The bearer token is sent; on this machine nobody checks it yet.");
        }
        let session = session(ctx, &chosen, session_id, new_session)?;
        let target = Target {
            base: record.base(),
            arn: record.arn,
        };
        Ok(Self {
            chosen,
            target,
            call: Call {
                body,
                session,
                authorization,
            },
        })
    }
}

fn authorization(ctx: &Context, flag: Option<&Token>) -> Result<Option<HeaderValue>, CliError> {
    let token = match flag {
        Some(Token(token)) => Some(token.as_str()),
        None => ctx.env.bearer_token()?,
    };
    Ok(token.map(invoke::bearer).transpose()?)
}

/// The front door that the invocation goes to.
fn front_door(ctx: &Context, chosen: &Chosen, local: bool) -> Result<Record, CliError> {
    let name = &chosen.name;
    let deployed = chosen.state()?.cloud.arn.is_some();
    if deployed && !local {
        return Err(
            CliError::other("invoking a deployed agent is not part of this version")
                .hint("add `--local` to invoke the agent that runs on this machine"),
        );
    }
    let presence = chosen.places().look().map_err(|error| {
        CliError::other("cannot tell whether the agent runs on this machine").caused_by(error)
    })?;
    match presence {
        Presence::Running(record) => {
            if !local {
                let base = record.base();
                ctx.printer.status(&format!(
                    "`{name}` is not deployed: invoking the one that runs on this machine, at {base}."
                ));
            }
            Ok(record)
        }
        Presence::Starting => Err(CliError::new(
            Kind::NotFound,
            format!("`{name}` is only being started"),
        )
        .hint("wait until `agentcore launch --local` says that it is ready")),
        Presence::Absent | Presence::Stale(_) => {
            let place = if local {
                "on this machine"
            } else {
                "on this machine, and it is not deployed"
            };
            Err(
                CliError::new(Kind::NotFound, format!("`{name}` does not run {place}"))
                    .hint("start it with `agentcore launch --local`"),
            )
        }
    }
}

/// The session as it goes over the wire: the one typed, otherwise the last one, otherwise a new one.
fn session(
    ctx: &Context,
    chosen: &Chosen,
    typed: Option<TypedSessionId>,
    new: bool,
) -> Result<ServiceSessionId, CliError> {
    if let Some(typed) = typed {
        let sent = typed.for_service(&chosen.name);
        if sent.lengthened {
            ctx.printer.status(&format!(
                "Session `{}` is sent as `{}`: AgentCore takes 33 to 256 characters.",
                typed.as_str(),
                sent.id
            ));
        }
        return Ok(sent.id);
    }
    let last = if new {
        None
    } else {
        chosen.state()?.local.last_session
    };
    if let Some(last) = last.and_then(|it| it.parse().ok()) {
        return Ok(last);
    }
    let id: ServiceSessionId = uuid::Uuid::new_v4()
        .to_string()
        .parse()
        .expect("a UUID has 36 characters");
    ctx.printer.status(&format!("New session `{id}`."));
    Ok(id)
}

/// Sends and shows, and watches for Ctrl-C all the while.
fn exchange(ctx: &Context, target: Target, call: Call) -> Result<(), Failed> {
    let failed = |error: CliError| Failed {
        error,
        began: false,
    };
    let printer = ctx.printer;
    // The answer is written by a thread of its own: a reader that does not read must not keep Ctrl-C waiting.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| failed(error.into()))?;
    let outcome = runtime.block_on(async {
        let shown = tokio::spawn(async move {
            let answer = invoke::send(&target, call).await.map_err(|it| failed(it.into()))?;
            let shown =
                if printer.is_json() { show_json(printer, answer).await } else { show_text(answer).await };
            shown.map_err(|error| Failed { began: error.kind() == Kind::BrokenPipe, error })
        });
        tokio::select! {
            shown = shown => shown.unwrap_or_else(|_| Err(failed(CliError::other("showing the answer failed")))),
            _ = tokio::signal::ctrl_c() => Err(failed(CliError::new(Kind::Interrupted, "interrupted"))),
        }
    });
    runtime.shutdown_background();
    outcome
}

async fn show_text(mut answer: Answer) -> Result<(), CliError> {
    let out = answer::out();
    if answer.body == BodyKind::Events {
        let mut view = EventText::new(out);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => view.push(&chunk)?,
                Ok(None) => return Ok(view.finish()?),
                Err(error) => {
                    view.break_off()?;
                    return Err(error.into());
                }
            }
        }
    }
    let mut view = match answer.body {
        BodyKind::Json => BodyText::json(out),
        BodyKind::Text => BodyText::text(out),
        BodyKind::Bytes | BodyKind::Events => BodyText::bytes(out),
    };
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => view.push(&chunk)?,
            Ok(None) => return Ok(view.finish()?),
            Err(error) => {
                view.break_off()?;
                return Err(error.into());
            }
        }
    }
}

async fn show_json(
    printer: crate::ui::printer::Printer,
    mut answer: Answer,
) -> Result<(), CliError> {
    if answer.body == BodyKind::Events {
        let mut view = EventLines::new(answer::out());
        while let Some(chunk) = answer.chunk().await? {
            view.push(&chunk)?;
        }
        return Ok(view.finish(&answer.session)?);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.write_all(&chunk)?;
    }
    printer.report(&InvokeReport {
        session_id: answer.session,
        response: answer::body_as_json(&body),
    })
}

fn remember(ctx: &Context, chosen: &Chosen, session: &ServiceSessionId) {
    let kept = chosen.project.state().update(|state| {
        state.agent_mut(&chosen.name).local.last_session = Some(session.to_string());
    });
    if let Err(error) = kept {
        ctx.printer.warn(&format!(
            "the session is not remembered for the next call: {error}"
        ));
    }
}

impl From<AnswerError> for CliError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Output(error) => error.into(),
            AnswerError::Agent(StreamError {
                error,
                error_type,
                message: _,
            }) => Self::new(
                Kind::Agent,
                format!("the agent failed while it answered ({error_type}): {error}"),
            ),
            AnswerError::CutShort => Self::new(
                Kind::Agent,
                "the answer was cut short in the middle of an event",
            )
            .hint("see `agentcore logs --local`"),
        }
    }
}

impl fmt::Display for InvokeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.response.get())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl std::str::FromStr for Token {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}
