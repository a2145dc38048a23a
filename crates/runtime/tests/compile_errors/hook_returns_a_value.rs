use agentcore_runtime::{App, EndReason, Session};
use serde_json::Value;

fn main() {
    let app = App::new(async |payload: Value| payload);
    drop(app.on_session_end(async |session: Session, _: EndReason| session.id().clone()));
}
