//! Shows the host's tests what a component sees, and does on their behalf what a component may do. One request is one
//! question: a POST whose JSON body is `{"do": …, …}`; the answer is JSON, failures are `{"error": …}`.

#[cfg(target_family = "wasm")]
mod component {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use serde_json::{Value, json};
    use spin_sdk::http::body::IncomingBodyExt as _;
    use spin_sdk::http::{FullBody, Request, Result};
    use spin_sdk::http_service;
    use spin_sdk::key_value::Store;
    use spin_sdk::variables;

    /// Requests that this instance has seen.
    static SEEN: AtomicU64 = AtomicU64::new(0);

    #[http_service]
    async fn handle(request: Request) -> Result<http::Response<FullBody<Bytes>>> {
        SEEN.fetch_add(1, Ordering::Relaxed);
        let (parts, body) = request.into_parts();
        let question: Value = serde_json::from_slice(&body.bytes().await?).unwrap_or_default();
        let text = |key: &str| question[key].as_str().unwrap_or_default().to_owned();
        let answer = match text("do").as_str() {
            "headers" => {
                let headers = parts.headers.iter();
                headers.map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or_default()))).collect()
            }
            "seen" => json!(SEEN.load(Ordering::Relaxed)),
            "environment" => std::env::vars().map(|(name, value)| (name, json!(value))).collect(),
            "variable" => outcome(variables::get(text("name")).await),
            "read" => outcome(std::fs::read_to_string(text("path"))),
            "write" => outcome(std::fs::write(text("path"), "x")),
            "print" => {
                println!("{}", text("line"));
                json!(null)
            }
            "key-value" => key_value(&text("label"), &text("key"), question["value"].as_str()).await,
            "get" => match spin_sdk::http::get(text("url")).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let body = body.bytes().await?;
                    json!({ "status": parts.status.as_u16(), "body": String::from_utf8_lossy(&body) })
                }
                Err(error) => json!({ "error": error.to_string() }),
            },
            "ask" => {
                // The same question to another component.
                let response = spin_sdk::http::post(text("url"), question["question"].to_string()).await?;
                serde_json::from_slice(&response.into_body().bytes().await?).unwrap_or_default()
            }
            "panic" => panic!("asked to"),
            other => json!({ "error": format!("there is no question {other:?}") }),
        };
        Ok(http::Response::new(FullBody::new(Bytes::from(answer.to_string()))))
    }

    fn outcome<T: serde::Serialize, E: std::fmt::Display>(result: std::result::Result<T, E>) -> Value {
        match result {
            Ok(value) => json!(value),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    /// Sets a value where one is given, then tells what is there.
    async fn key_value(label: &str, key: &str, value: Option<&str>) -> Value {
        let ask = async {
            let store = Store::open(label).await?;
            if let Some(value) = value {
                store.set(key, value).await?;
            }
            let found = store.get(key).await?;
            let exists = store.exists(key).await?;
            let keys = store.get_keys().await.collect().await?;
            store.delete("deleted").await?;
            let found = found.map(|value| String::from_utf8_lossy(&value).into_owned());
            Ok::<_, spin_sdk::key_value::Error>(json!({ "value": found, "exists": exists, "keys": keys }))
        };
        ask.await.unwrap_or_else(|error| json!({ "error": error.to_string() }))
    }
}
