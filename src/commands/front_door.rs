//! Holding a front door open until somebody asks for its end: for `launch` in the foreground, and, as a hidden command,
//! the background program of `launch --detach`, which gets its plan over stdin.

use std::fmt;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use agentcore_local::{Event, EventSink};
use serde::Serialize;

use super::live::Live;
use super::signals::{Asked, Stage};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::services::local::door::{Door, DoorError, Opened};
use crate::services::local::log_entry::Entry;
use crate::services::local::log_file::LogFile;
use crate::services::local::plan::Plan;
use crate::services::local::record::Record;
use crate::ui::detached;

/// The background program takes no arguments: its plan holds values that no command line should show.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct FrontDoorArgs {}

/// What the background program says when it is ready.
#[derive(Debug, Serialize)]
struct Ready<'a> {
    ready: &'a Record,
}

pub(crate) fn run(ctx: &Context, args: FrontDoorArgs) -> Result<ExitCode, CliError> {
    let FrontDoorArgs {} = args;
    // Signals of the terminal that the starter stands in are not for this program.
    rustix::process::setsid().map_err(|error| {
        CliError::other("cannot become independent of the terminal").caused_by(error)
    })?;
    let plan = read_plan(std::io::stdin().lock())?;
    let held = hold(ctx, Stage::new()?, plan, Watched::UntilReady, |record| {
        ctx.printer.report(&Ready { ready: record })?;
        Ok(detached::let_go()?)
    });
    if let Err(error) = &held {
        // The starter gets it over stdout; this one is for the log.
        ctx.printer.warn(&format!("the front door ended: {error}"));
    }
    held.map(Asked::exit_code)
}

fn read_plan(mut stdin: impl Read) -> Result<Plan, CliError> {
    let mut text = Vec::new();
    stdin.read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(|error| {
        CliError::usage("standard input holds no plan of a front door")
            .caused_by(error)
            .hint("use `agentcore launch --local --detach`, which runs this command")
    })
}

/// How long somebody watches what the sandboxes write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Until the end: stderr is a terminal, or what a user made of it.
    ToTheEnd,
    /// Until it is ready: stderr is a file that must not grow for ever.
    UntilReady,
}

/// Opens the front door of `plan`, calls `on_ready`, and serves until a signal asks for the end.
///
/// What happens is written to the plan's log, and shown on stderr as long as it is `watched`.
///
/// # Errors
///
/// Fails if the front door does not become ready, or cannot go on.
pub(crate) fn hold(
    ctx: &Context,
    stage: Stage,
    plan: Plan,
    watched: Watched,
    on_ready: impl FnOnce(&Record) -> Result<(), CliError>,
) -> Result<Asked, CliError> {
    let progress = ctx.progress();
    let live = Arc::new(Live::start(ctx.printer, progress.clone()));
    let events = sink(&plan, Arc::clone(&live))?;
    let (runtime, mut signals) = stage.into_parts()?;
    let held = runtime.block_on(async {
        let starting = progress.watch(&starting(&plan.agent));
        let opened = Door::open(plan, events, signals.asked()).await;
        drop(starting);
        let opened = match opened {
            Ok(Opened::Ready(door)) => door,
            Ok(Opened::CalledOff(asked)) => return Ok(asked),
            Err(error) => return Err(failure(ctx, error)),
        };
        on_ready(opened.record())?;
        if watched == Watched::UntilReady {
            live.end();
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            let asked = signals.asked().await;
            // The receiver waits below.
            let _ = tell.send(asked);
        };
        opened.serve(shutdown).await?;
        Ok(told.await.unwrap_or(Asked::Terminated))
    });
    drop(runtime);
    drop(live);
    held
}

/// What is being waited for until a front door is ready.
pub(crate) fn starting(agent: &str) -> String {
    format!("Starting the first sandbox of `{agent}`")
}

/// Writes every event to the log file and shows it.
fn sink(plan: &Plan, live: Arc<Live>) -> Result<EventSink, CliError> {
    let path = plan.places.log();
    let log = LogFile::open(&path).map_err(|error| {
        CliError::other(format!("cannot write the log `{}`", path.display())).caused_by(error)
    })?;
    let started = Entry::front_door_started(&plan.instance);
    log.append(&started)?;
    Ok(Arc::new(move |event: Event| {
        let entry = Entry::now(&event);
        // A full disk must not end the agents; the terminal still shows the line.
        let _ = log.append(&entry);
        live.show(entry);
    }))
}

/// The end of an agent that did not start has been shown line by line; a program that reads JSON gets it once more.
fn failure(ctx: &Context, error: DoorError) -> CliError {
    let tail = error.log_tail().filter(|_| ctx.printer.is_json());
    let failure = CliError::from(error);
    match tail {
        Some(tail) if failure.kind() == Kind::Agent => failure.details(tail),
        _ => failure,
    }
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready at {}", self.ready.base())
    }
}
