//! `agentcore logs`: what an agent's sandboxes wrote, and what became of them.

use std::collections::HashSet;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::chosen::{self, Chosen};
use super::signals::Signals;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::session::TypedSessionId;
use crate::services::local::log_entry::Entry;
use crate::services::local::log_file::Reader;
use crate::ui::log_lines::{LogLine, short_session};

/// How often the log is looked at while it is followed.
const PAUSE: Duration = Duration::from_millis(100);

/// What was typed after `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Show this agent's logs instead of the project's default one's
    #[arg(long, short, value_name = "NAME")]
    agent: Option<String>,
    /// Show what the agent on this machine wrote
    #[arg(long, short)]
    local: bool,
    /// Go on showing lines as they are written, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Show this session only
    #[arg(long, short, value_name = "ID", alias = "session-id")]
    session: Option<TypedSessionId>,
}

/// Which lines are shown: those of one session, with those of its sandbox before it had the session.
struct Filter {
    typed: String,
    sent: String,
    sandboxes: HashSet<Sandbox>,
    front_door: usize,
}

/// A sandbox in the log: the number of its front door there, and its name.
type Sandbox = (usize, String);

/// A line as the printer takes it.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Entry);

pub(crate) fn run(ctx: &Context, args: LogsArgs) -> Result<ExitCode, CliError> {
    let LogsArgs {
        agent,
        local,
        follow,
        session,
    } = args;
    let chosen = Chosen::resolve(ctx, agent.as_deref())?;
    if !local {
        return Err(chosen::only_here(&chosen, "logs"));
    }
    let mut filter = session.map(|typed| Filter {
        sent: typed.for_service(&chosen.name).id.to_string(),
        typed: typed.as_str().to_owned(),
        sandboxes: HashSet::new(),
        front_door: 0,
    });
    let path = chosen.places().log();
    let open = || Reader::open(&path).map_err(unreadable);
    let Some(mut reader) = open()? else {
        return Err(CliError::new(
            Kind::NotFound,
            format!("`{}` has not run on this machine yet", chosen.name),
        )
        .hint("start it with `agentcore launch --local`"));
    };
    if let Some(filter) = &mut filter {
        // The sandbox may have written before it had the session.
        while let Some(entry) = reader.next().map_err(unreadable)? {
            filter.learn(&entry);
        }
        filter.front_door = 0;
        reader = open()?.unwrap_or(reader);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            while let Some(entry) = reader.next().map_err(unreadable)? {
                if filter.as_mut().is_none_or(|it| it.lets_through(&entry)) {
                    ctx.printer.report(&Shown(entry))?;
                }
            }
            if !follow {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                asked = signals.asked() => return Ok(asked.exit_code()),
            }
        }
    })
}

impl Filter {
    fn learn(&mut self, entry: &Entry) {
        self.front_door += usize::from(entry.is_new_front_door());
        if let (Some(sandbox), Some(session)) = (&entry.sandbox, &entry.session)
            && self.is_meant(session)
        {
            self.sandboxes.insert((self.front_door, sandbox.clone()));
        }
    }

    fn lets_through(&mut self, entry: &Entry) -> bool {
        self.learn(entry);
        match (&entry.session, &entry.sandbox) {
            (Some(session), _) => self.is_meant(session),
            (None, Some(sandbox)) => self.sandboxes.contains(&(self.front_door, sandbox.clone())),
            (None, None) => false,
        }
    }

    fn is_meant(&self, session: &str) -> bool {
        session == self.sent || short_session(session) == self.typed
    }
}

fn unreadable(error: std::io::Error) -> CliError {
    CliError::other("cannot read the log").caused_by(error)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry) = self;
        let line = LogLine {
            time: Some(&entry.time),
            session: entry.session.as_deref(),
            sandbox: entry.sandbox.as_deref(),
            text: &entry.text(),
        };
        line.fmt(f)
    }
}
