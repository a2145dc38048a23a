use agentcore_runtime::App;

struct Order {
    number: u32,
}

async fn answer(order: Order) -> u32 {
    order.number
}

fn main() {
    let _ = App::new(answer);
}
