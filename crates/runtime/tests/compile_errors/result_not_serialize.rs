use agentcore_runtime::App;
use serde_json::Value;

struct Receipt;

fn plain(_: Value) -> Receipt {
    Receipt
}

async fn later(_: Value) -> Receipt {
    Receipt
}

async fn result(_: Value) -> Result<Receipt, std::io::Error> {
    Ok(Receipt)
}

fn main() {
    let _ = App::new(plain);
    let _ = App::new(later);
    let _ = App::new(result);
}
