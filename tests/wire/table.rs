//! The tables of the contract: rows of requests and of what must be answered, with the differences between servers.
//!
//! Loading is strict, because a table that is read wrongly tests nothing: an unknown word, a difference without a reason,
//! or one that changes nothing, is an error that names the row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::expect::{Expect, Wanted};
use super::request::{Body, Sent};

/// What keeps the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Server {
    /// An agent made of Rust functions.
    Rust,
    /// A Python agent on the native engine.
    Native,
    /// The same Python file on the official SDK: the reference.
    Sdk,
}

pub(super) const SERVERS: [Server; 3] = [Server::Rust, Server::Native, Server::Sdk];

/// All rows, in the order of the files and of what stands in them.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    every: Every,
}

/// One promise of the contract.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) section: String,
    pub(super) says: String,
    /// Which agent is asked.
    pub(super) app: String,
    /// Whether it must be one that nobody has asked before.
    pub(super) fresh: bool,
    /// Whether all steps use one connection.
    pub(super) same_connection: bool,
    only: Option<Only>,
    pub(super) steps: Vec<Step>,
}

/// A request and its answer, or what else is done with a connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Method and target.
    #[serde(default = "invocation")]
    pub(super) request: String,
    /// Lines of the head, as they are sent.
    #[serde(default)]
    pub(super) headers: Vec<String>,
    #[serde(default)]
    pub(super) body: Body,
    #[serde(default)]
    pub(super) sent: Sent,
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    differs: Vec<Difference>,
    /// Asks again until the answer is what is expected.
    #[serde(default)]
    pub(super) until: bool,
    /// Reads no further than the expected beginning of the body and keeps the connection under this name.
    pub(super) keep: Option<String>,
    /// Reads no answer at all and keeps the connection under this name.
    pub(super) send_only: Option<String>,
    /// Reads what is left of the answer on the connection of this name; what is expected of the body is the rest.
    pub(super) rest_of: Option<String>,
    /// Closes the connection of this name.
    pub(super) leave: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    servers: Vec<Server>,
    reason: String,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    servers: Vec<Server>,
    reason: String,
}

/// What holds for every answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Every {
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    differs: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The section of the contract.
    section: String,
    #[serde(rename = "title")]
    _title: String,
    every: Option<Every>,
    #[serde(default)]
    rows: Vec<Map<String, Value>>,
}

/// What a row has beside its steps; the rest of a row without steps is its one step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowHead {
    id: String,
    says: String,
    #[serde(default = "usual_app")]
    app: String,
    #[serde(default)]
    fresh: bool,
    #[serde(default)]
    same_connection: bool,
    only: Option<Only>,
    steps: Option<Vec<Step>>,
}

const HEAD: [&str; 7] = [
    "id",
    "says",
    "app",
    "fresh",
    "same_connection",
    "only",
    "steps",
];

fn invocation() -> String {
    "POST /invocations".to_owned()
}

fn usual_app() -> String {
    "value".to_owned()
}

impl Table {
    /// Reads all tables of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|it| it == "yaml"));
        paths.sort();
        let mut texts = Vec::new();
        for path in paths {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            texts.push((path.display().to_string(), text));
        }
        Self::parse(&texts)
    }

    /// Reads tables; each comes with the name of its file.
    pub(super) fn parse(texts: &[(String, String)]) -> Result<Self, String> {
        let mut table = Self {
            rows: Vec::new(),
            every: Every::default(),
        };
        for (name, text) in texts {
            let in_file = |error: String| format!("{name}: {error}");
            let file: File =
                serde_saphyr::from_str(text).map_err(|error| in_file(error.to_string()))?;
            if let Some(every) = file.every {
                table.every = every;
            }
            for fields in file.rows {
                let row = row(fields, &file.section).map_err(in_file)?;
                table.rows.push(row);
            }
        }
        table.check()?;
        Ok(table)
    }

    fn check(&self) -> Result<(), String> {
        reasons(&self.every.differs).map_err(|error| format!("every answer: {error}"))?;
        let mut ids = BTreeSet::new();
        for row in &self.rows {
            if !ids.insert(&row.id) {
                return Err(format!("row {}: there are two of this id", row.id));
            }
            self.check_row(row)
                .map_err(|error| format!("row {}: {error}", row.id))?;
        }
        Ok(())
    }

    fn check_row(&self, row: &Row) -> Result<(), String> {
        if let Some(only) = &row.only {
            reason(&only.reason, "`only`")?;
            if only.servers.is_empty() || SERVERS.iter().all(|it| only.servers.contains(it)) {
                return Err("`only` names no server, or all".to_owned());
            }
        }
        if row.steps.is_empty() {
            return Err("there is no step".to_owned());
        }
        for step in &row.steps {
            step.body.bytes()?;
            reasons(&step.differs)?;
            for difference in &step.differs {
                if let Some(server) = difference.servers.iter().find(|it| !row.is_for(**it)) {
                    return Err(format!(
                        "{server:?} differs, but the row is not for {server:?}"
                    ));
                }
                if step.expect.with(&difference.expect).fill()? == step.expect.fill()? {
                    let (servers, reason) = (&difference.servers, &difference.reason);
                    return Err(format!(
                        "the difference of {servers:?} changes nothing ({reason})"
                    ));
                }
            }
            if step.is_answered() {
                for server in SERVERS {
                    self.wanted(step, server)?;
                }
            }
        }
        Ok(())
    }

    /// What `server` must answer to this step.
    pub(super) fn wanted(&self, step: &Step, server: Server) -> Result<Wanted, String> {
        let over = |expect: &Expect, differs: &[Difference]| {
            let difference = differs.iter().find(|it| it.servers.contains(&server));
            difference.map_or_else(|| expect.clone(), |it| expect.with(&it.expect))
        };
        let every = over(&self.every.expect, &self.every.differs);
        every.with(&over(&step.expect, &step.differs)).fill()
    }

    /// The rows that apply to a server.
    pub(super) fn rows_for(&self, server: Server) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.is_for(server))
    }
}

fn row(mut fields: Map<String, Value>, section: &str) -> Result<Row, String> {
    let mut head = Map::new();
    for name in HEAD {
        if let Some(value) = fields.remove(name) {
            head.insert(name.to_owned(), value);
        }
    }
    let id = head.get("id").map(Value::to_string).unwrap_or_default();
    let in_row = |error: serde_json::Error| format!("row {id}: {error}");
    let head: RowHead = serde_json::from_value(Value::Object(head)).map_err(in_row)?;
    let steps = match head.steps {
        Some(_) if !fields.is_empty() => {
            let words: Vec<&String> = fields.keys().collect();
            return Err(format!("row {id}: {words:?} belong into a step"));
        }
        Some(steps) => steps,
        None => vec![serde_json::from_value(Value::Object(fields)).map_err(in_row)?],
    };
    Ok(Row {
        id: head.id,
        section: section.to_owned(),
        says: head.says,
        app: head.app,
        fresh: head.fresh,
        same_connection: head.same_connection,
        only: head.only,
        steps,
    })
}

impl Row {
    pub(super) fn is_for(&self, server: Server) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.servers.contains(&server))
    }
}

impl Step {
    /// Whether an answer is read.
    pub(super) fn is_answered(&self) -> bool {
        self.leave.is_none() && self.send_only.is_none()
    }

    /// Why this server answers otherwise than the others, if it does.
    pub(super) fn reason(&self, server: Server) -> Option<&str> {
        let difference = self.differs.iter().find(|it| it.servers.contains(&server));
        difference.map(|it| it.reason.as_str())
    }
}

fn reasons(differs: &[Difference]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for difference in differs {
        reason(&difference.reason, "a difference")?;
        if difference.servers.is_empty() {
            return Err("a difference is nobody's".to_owned());
        }
        if let Some(server) = difference.servers.iter().find(|it| !seen.insert(**it)) {
            return Err(format!("{server:?} differs twice"));
        }
    }
    Ok(())
}

/// A reason is a sentence: one word explains nothing.
fn reason(text: &str, of: &str) -> Result<(), String> {
    if text.split_whitespace().count() >= 3 {
        Ok(())
    } else {
        Err(format!("{of} has no reason in words: `{text}`"))
    }
}
