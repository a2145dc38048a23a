//! An agent with typed payloads: it prices an order, refuses one that makes no sense, and is tested without a server.
//!
//! What is not an `Order` never reaches the function: the caller gets 400 and the name of the field.

use agentcore_runtime::{App, Failure, RunError, StatusCode};
use serde::{Deserialize, Serialize};

/// The most that one order may ask of an item.
const MOST: u32 = 100;

/// What the agent is asked: the payload.
#[derive(Deserialize)]
struct Order {
    items: Vec<Item>,
    /// May be left out.
    #[serde(default)]
    gift: bool,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    quantity: u32,
    cents: u64,
}

/// What it answers: the result.
#[derive(Serialize)]
struct Receipt {
    items: usize,
    total_cents: u64,
    gift: bool,
}

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::new(price).run().await
}

/// The handler. It never waits, so it is a plain `fn`; an `async fn` is as good.
fn price(order: Order) -> Result<Receipt, Failure> {
    let Order { items, gift } = order;
    if items.is_empty() {
        return Err(Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the order is empty",
        ));
    }
    let mut total_cents: u64 = 0;
    for item in &items {
        total_cents = cost(item)
            .and_then(|cost| total_cents.checked_add(cost))
            .ok_or_else(|| too_much(item))?;
    }
    Ok(Receipt {
        items: items.len(),
        total_cents,
        gift,
    })
}

/// What an item costs, unless nobody can buy that much.
fn cost(item: &Item) -> Option<u64> {
    if item.quantity > MOST {
        return None;
    }
    item.cents.checked_mul(item.quantity.into())
}

fn too_much(item: &Item) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "nobody can buy that much")
        .with_type("TooMuch")
        .with_details(format!("{} of {}", item.quantity, item.name))
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::TestAgent;
    use serde_json::json;

    use super::*;

    fn agent() -> TestAgent {
        TestAgent::new(App::new(price))
    }

    #[tokio::test]
    async fn an_order_is_priced() {
        let answer = agent()
            .invoke(json!({
                "items": [
                    { "name": "tea", "quantity": 2, "cents": 450 },
                    { "name": "cup", "quantity": 1, "cents": 1200 },
                ],
            }))
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.text(),
            r#"{"items": 2, "total_cents": 2100, "gift": false}"#
        );
    }

    #[tokio::test]
    async fn an_order_that_makes_no_sense_answers_422() {
        let agent = agent();
        let answer = agent.invoke(json!({ "items": [] })).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json(), json!({ "error": "the order is empty" }));

        let items = json!([{ "name": "tea", "quantity": 101, "cents": 450 }]);
        let answer = agent.invoke(json!({ "items": items })).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["details"], "101 of tea");
    }

    #[tokio::test]
    async fn what_is_no_order_names_its_field() {
        let items = json!([{ "name": "tea", "quantity": "two", "cents": 450 }]);
        let answer = agent().invoke(json!({ "items": items })).await;
        assert_eq!(answer.status, 400);
        let details = answer.json()["details"].to_string();
        assert!(
            details.contains("items[0].quantity: invalid type: string"),
            "{details}"
        );
    }
}
