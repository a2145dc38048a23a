use agentcore_runtime::App;

#[derive(serde::Deserialize)]
struct Order<'a> {
    name: &'a str,
}

fn text(payload: &str) -> usize {
    payload.len()
}

fn order(order: Order<'_>) -> usize {
    order.name.len()
}

fn main() {
    let _ = App::new(text);
    let _ = App::new(order);
}
