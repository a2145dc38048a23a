//! What payloads may be, and what a caller is told whose payload does not fit.

use std::collections::BTreeMap;

use agentcore_runtime::{App, TestAgent, TestAnswer};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Reads a body as a payload of that type and sends it back.
async fn echo<P>(body: &str) -> TestAnswer
where
    P: DeserializeOwned + Serialize + 'static,
{
    let agent = TestAgent::new(App::new(|payload: P| payload));
    agent.raw(body.to_owned()).await
}

/// Checks that a body is refused with these details.
async fn refused<P>(body: &str, details: &str)
where
    P: DeserializeOwned + Serialize + 'static,
{
    let answer = echo::<P>(body).await;
    assert_eq!(answer.status, 400, "{body}");
    assert_eq!(
        answer.json(),
        json!({"error": "Invalid payload", "details": details}),
        "{body}"
    );
}

#[derive(Deserialize, Serialize)]
struct Basket {
    orders: Vec<Order>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<String, bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment: Option<Payment>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    quantity: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Payment {
    Cash,
    Card { number: u64 },
}

#[tokio::test]
async fn a_field_that_does_not_fit_is_named_by_its_path() {
    let order = |quantity: &str| format!(r#"{{"name":"a","quantity":{quantity}}}"#);
    let third_bad = format!(r#"{{"orders":[{0},{0},{1}]}}"#, order("1"), order("\"x\""));
    for (body, details) in [
        (
            third_bad.as_str(),
            r#"orders[2].quantity: invalid type: string "x", expected u32 at line 1 column 89"#,
        ),
        (
            r#"{"orders":[{"name":"a","quantity":-1}]}"#,
            "orders[0].quantity: invalid value: integer `-1`, expected u32 at line 1 column 36",
        ),
        (
            r#"{"orders":[{"name":"a"}]}"#,
            "orders[0]: missing field `quantity` at line 1 column 23",
        ),
        (
            r#"{"orders":[{"name":"a","quantity":1,"colour":"red"}]}"#,
            "orders[0].colour: unknown field `colour`, expected `name` or `quantity` at line 1 column 44",
        ),
        (
            r#"{"orders":[],"notes":{"gift":1}}"#,
            "notes.gift: invalid type: integer `1`, expected a boolean at line 1 column 30",
        ),
        (
            r#"{"orders":[],"payment":{"card":{"number":null}}}"#,
            "payment.card.number: invalid type: null, expected u64 at line 1 column 45",
        ),
        (
            r#"{"orders":[],"payment":"cheque"}"#,
            "payment: unknown variant `cheque`, expected `cash` or `card` at line 1 column 31",
        ),
        (
            "[1]",
            "[0]: invalid type: integer `1`, expected a sequence at line 1 column 2",
        ),
        // The payload itself has no path.
        ("{}", "missing field `orders` at line 1 column 2"),
        (
            r#"{"orders":[],"orders":[]}"#,
            "duplicate field `orders` at line 1 column 21",
        ),
    ] {
        refused::<Basket>(body, details).await;
    }
    assert_eq!(
        echo::<Basket>(r#"{"orders": [], "more": 1}"#).await.status,
        200
    );
}

#[derive(Deserialize, Serialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: Inner,
}

#[derive(Deserialize, Serialize)]
struct Inner {
    count: u8,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Choice {
    Number(u8),
    Text(String),
}

#[derive(Deserialize, Serialize)]
struct Chosen {
    choice: Choice,
}

#[tokio::test]
async fn what_serde_reads_as_a_whole_has_no_path_within() {
    refused::<Chosen>(
        r#"{"choice":[]}"#,
        "choice: data did not match any variant of untagged enum Choice at line 1 column 13",
    )
    .await;
    refused::<Choice>(
        "[]",
        "data did not match any variant of untagged enum Choice",
    )
    .await;
    refused::<Flat>(
        r#"{"id":1,"count":"x"}"#,
        r#"invalid type: string "x", expected u8 at line 1 column 20"#,
    )
    .await;
    refused::<Flat>(
        r#"{"id":"x","count":1}"#,
        r#"id: invalid type: string "x", expected u8 at line 1 column 9"#,
    )
    .await;
    let body = r#"{"id": 1, "count": 2}"#;
    assert_eq!(echo::<Flat>(body).await.text(), body);
}

#[tokio::test]
async fn any_owned_type_is_a_payload() {
    assert_eq!(echo::<()>("null").await.text(), "null");
    refused::<()>(
        "1",
        "invalid type: integer `1`, expected unit at line 1 column 1",
    )
    .await;
    assert_eq!(echo::<Option<u8>>("null").await.text(), "null");
    assert_eq!(echo::<Option<u8>>("7").await.text(), "7");
    assert_eq!(
        echo::<(u8, String)>(r#"[7, "a"]"#).await.text(),
        r#"[7, "a"]"#
    );
    refused::<(u8, String)>(
        "[7]",
        "invalid length 1, expected a tuple of size 2 at line 1 column 3",
    )
    .await;
    refused::<(u8, u8)>(
        r#"[7,"x"]"#,
        r#"[1]: invalid type: string "x", expected u8 at line 1 column 6"#,
    )
    .await;
    assert_eq!(echo::<Payment>(r#""cash""#).await.text(), r#""cash""#);
    assert_eq!(echo::<String>(r#""a\u0020b""#).await.text(), r#""a b""#);
    assert_eq!(
        echo::<Box<RawValue>>("{\"a\":  1.50}").await.text(),
        "{\"a\":  1.50}",
        "the JSON text as it came"
    );
}

#[tokio::test]
async fn numbers_that_no_integer_holds_are_floats_in_a_value() {
    for (number, echoed) in [
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("-9223372036854775809", "-9.223372036854776e+18"),
    ] {
        assert_eq!(echo::<Value>(number).await.text(), echoed);
    }
    let large = "340282366920938463463374607431768211455";
    assert_eq!(echo::<u128>(large).await.text(), large);
    assert_eq!(echo::<Box<RawValue>>(large).await.text(), large);
    assert_eq!(echo::<Value>("1e400").await.json()["error"], "Invalid JSON");
}

#[tokio::test]
async fn the_last_of_two_equal_keys_is_a_values() {
    let answer = echo::<Value>(r#"{"a": 1, "b": 2, "a": 3}"#).await;
    assert_eq!(answer.text(), r#"{"a": 3, "b": 2}"#);
    let answer = echo::<BTreeMap<String, u8>>(r#"{"a": 1, "a": 3}"#).await;
    assert_eq!(answer.text(), r#"{"a": 3}"#);
    // A struct that does not name the key does not mind.
    let answer = echo::<Basket>(r#"{"x": 1, "x": 2, "orders": []}"#).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn nesting_has_a_limit_that_is_named() {
    #[derive(Deserialize, Serialize)]
    struct Nested {
        within: Option<Box<Self>>,
    }
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(echo::<Value>(&deep(127)).await.text(), deep(127));
    let typed = r#"{"within":"#.repeat(127) + "null" + &"}".repeat(127);
    assert_eq!(echo::<Nested>(&typed).await.status, 200);
    let too_deep_typed = r#"{"within":"#.repeat(128) + "null" + &"}".repeat(128);
    for answer in [
        echo::<Value>(&deep(128)).await,
        echo::<Value>(&deep(100_000)).await,
        echo::<Nested>(&too_deep_typed).await,
    ] {
        assert_eq!(answer.status, 400);
        let body = answer.json();
        assert_eq!(body["error"], "Invalid JSON");
        let details = body["details"].as_str().unwrap();
        assert!(
            details.starts_with("nested deeper than 127 levels at line 1 column "),
            "{details}"
        );
    }
}

/// Any JSON whose numbers every reader takes exactly.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("JSON has no such number", |float| {
            float.is_finite().then(|| Value::from(float))
        }),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn any_json_comes_back_unchanged_and_spaced() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let agent = TestAgent::new(App::new(|payload: Value| payload));
    proptest!(|(value in any_json())| {
        let answer = runtime.block_on(agent.invoke(&value));
        prop_assert_eq!(answer.status, 200);
        prop_assert_eq!(&answer.json(), &value);
        let spaced = agentcore_protocol::json::to_spaced_vec(&value).unwrap();
        prop_assert_eq!(answer.text(), std::str::from_utf8(&spaced).unwrap());
    });
}
