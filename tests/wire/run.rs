//! Runs the rows of a table against servers and tells of all that is not as it should be.
//!
//! Rows that ask the same agent share one server, in the order of the table; several such groups run beside each other.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::compare::compare;
use super::exchange::{Answer, Connection, Place};
use super::expect::{Wanted, WantedBody};
use super::pattern::Found;
use super::request::{Length, Sent, chunked, head};
use super::servers::Servers;
use super::table::{Row, Server, Step, Table};

/// How many groups run at a time: a few interpreters start together without crowding a small machine.
const LANES: usize = 3;
/// How long an answer may take to become what is expected, where a row asks again.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs all rows that apply to the server and returns what is wrong, row by row.
pub(super) fn run(table: &Table, server: Server, servers: &(impl Servers + Sync)) -> Vec<String> {
    let groups = Mutex::new(groups(table.rows_for(server)));
    let failed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(group) = next(&groups) {
                    for (place, row, told) in run_group(table, server, &group, servers) {
                        let text = format!("§{} {} ({})\n{told}", row.section, row.id, row.says);
                        failed.lock().unwrap().insert(place, text);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap().into_values().collect()
}

/// Rows with their places in the table.
type Group<'a> = Vec<(usize, &'a Row)>;

fn groups<'a>(rows: impl Iterator<Item = &'a Row>) -> VecDeque<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (place, row) in rows.enumerate() {
        let shares = |group: &&mut Group<'a>| !group[0].1.fresh && group[0].1.app == row.app;
        match groups.iter_mut().find(shares) {
            Some(group) if !row.fresh => group.push((place, row)),
            _ => groups.push(vec![(place, row)]),
        }
    }
    groups.into()
}

fn next<'a>(groups: &Mutex<VecDeque<Group<'a>>>) -> Option<Group<'a>> {
    groups.lock().unwrap().pop_front()
}

fn run_group<'a>(
    table: &Table,
    server: Server,
    group: &Group<'a>,
    servers: &impl Servers,
) -> Vec<(usize, &'a Row, String)> {
    let running = match servers.start(&group[0].1.app) {
        Ok(running) => running,
        Err(error) => {
            let ((place, row), rows) = (group[0], group.len());
            let told = format!("  none of the {rows} rows of this agent can run: {error}\n");
            return vec![(place, row, told)];
        }
    };
    let mut failed = Vec::new();
    for &(place, row) in group {
        let mut play = Play {
            table,
            server,
            place: servers.place(&running),
            row,
            found: Found::new(),
            kept: BTreeMap::new(),
            shared: None,
        };
        if let Some(told) = play.row() {
            failed.push((place, row, told));
        }
    }
    failed
}

/// One row on its way.
struct Play<'a> {
    table: &'a Table,
    server: Server,
    place: Place,
    row: &'a Row,
    found: Found,
    /// Connections with the heads of the answers that have begun.
    kept: BTreeMap<&'a str, (Connection, Option<Answer>)>,
    /// The connection of all steps, where they use one.
    shared: Option<Connection>,
}

impl<'a> Play<'a> {
    /// Runs the steps; the first that fails ends the row, because the next ones build on it.
    fn row(&mut self) -> Option<String> {
        for (index, step) in self.row.steps.iter().enumerate() {
            let problems = self.step(step);
            if problems.is_empty() {
                continue;
            }
            let mut told = match self.row.steps.len() {
                1 => String::new(),
                steps => format!("  in step {} of {steps}\n", index + 1),
            };
            if let Some(reason) = step.reason(self.server) {
                told.extend(["  which differs here: ", reason, "\n"]);
            }
            for problem in &problems {
                told.extend(["  ", problem, "\n"]);
            }
            return Some(told);
        }
        None
    }

    fn step(&mut self, step: &'a Step) -> Vec<String> {
        if let Some(name) = &step.leave {
            let left = self.kept.remove(name.as_str());
            return left.map_or_else(
                || vec![format!("nothing is kept as `{name}`")],
                |_| Vec::new(),
            );
        }
        if let Some(name) = &step.send_only {
            let sent = Connection::open(&self.place).and_then(|mut connection| {
                self.send(step, &mut connection)?;
                Ok(connection)
            });
            return match sent {
                Ok(connection) => {
                    self.kept.insert(name, (connection, None));
                    Vec::new()
                }
                Err(error) => vec![format!("nothing can be sent: {error}")],
            };
        }
        let wanted = match self.table.wanted(step, self.server) {
            Ok(wanted) => wanted,
            Err(error) => return vec![error],
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut found = self.found.clone();
            let problems = match self.answer(step, &wanted) {
                Ok(answer) => compare(&wanted, &answer, &mut found),
                Err(error) => vec![format!("no answer: {error}")],
            };
            if problems.is_empty() || !step.until || Instant::now() > deadline {
                self.found = found;
                return problems;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn answer(&mut self, step: &'a Step, wanted: &Wanted) -> io::Result<Answer> {
        if let Some(name) = &step.rest_of {
            let kept = self.kept.remove(name.as_str());
            let (mut connection, begun) =
                kept.ok_or_else(|| io::Error::other(format!("nothing is kept as `{name}`")))?;
            let mut answer = match begun {
                Some(begun) => begun,
                None => connection.head("POST")?,
            };
            connection.body(&mut answer, None)?;
            return Ok(answer);
        }
        let mut connection = match self.shared.take() {
            Some(connection) => connection,
            None => Connection::open(&self.place)?,
        };
        self.send(step, &mut connection)?;
        let method = step.request.split(' ').next().unwrap_or_default();
        let mut answer = connection.head(method)?;
        let beginning = match (&step.keep, &wanted.body) {
            (Some(_), WantedBody::Bytes(bytes)) => Some(bytes.len()),
            _ => None,
        };
        connection.body(&mut answer, beginning)?;
        if let Some(name) = &step.keep {
            let head = Answer {
                headers: answer.headers.clone(),
                body: Vec::new(),
                chunks: Vec::new(),
                ..answer
            };
            self.kept.insert(name, (connection, Some(head)));
        } else if self.row.same_connection {
            self.shared = Some(connection);
        } else {
            let more = connection.rest()?;
            if !more.is_empty() {
                let told = format!("after the body came `{}`", more.escape_ascii());
                return Err(io::Error::other(told));
            }
        }
        Ok(answer)
    }

    fn send(&self, step: &Step, connection: &mut Connection) -> io::Result<()> {
        let parts = step.body.parts().map_err(io::Error::other)?;
        let length: usize = parts.iter().map(Vec::len).sum();
        let has_body = length > 0 || !step.request.starts_with(['G', 'H']);
        let (length, body) = match step.sent {
            Sent::Chunked => (Length::Chunked, chunked(&parts)),
            _ if has_body => (Length::Known(length), parts.concat()),
            _ => (Length::Nobody, Vec::new()),
        };
        let keep_alive = self.row.same_connection;
        let head = head(&step.request, &step.headers, length, keep_alive);
        if step.sent != Sent::WhenAskedFor {
            return connection.send(&[head, body].concat());
        }
        connection.send(&head)?;
        match connection.interim()? {
            100 => connection.send(&body),
            status => Err(io::Error::other(format!(
                "{status}, where the body was to be asked for"
            ))),
        }
    }
}
