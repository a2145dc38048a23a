use agentcore_runtime::Tasks;

fn main() {
    let tasks = Tasks::default();
    tasks.spawn_fallible_task("report", async { Err::<(), u8>(1) });
}
