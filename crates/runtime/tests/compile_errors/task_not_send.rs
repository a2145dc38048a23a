use std::rc::Rc;

use agentcore_runtime::Tasks;

fn main() {
    let tasks = Tasks::default();
    let pages = Rc::new(1);
    tasks.spawn_task("report", async move { *pages });
}
