//! A worker on the iii SDK it was built with; the test drives it through the functions it offers.
//!
//! Usage: worker URL NAME. It runs until its standard input is closed.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use iii_sdk::protocol::TriggerRequest;
use iii_sdk::runtime::WorkerMetadata;
use iii_sdk::trigger::{Trigger, TriggerConfig, TriggerHandler};
use iii_sdk::{
    register_worker, Error, IIIClient, InitOptions, RegisterFunction, RegisterTriggerType, TriggerAction,
};
use serde_json::{json, Value};
use tokio::io::AsyncReadExt;

type Answer = Result<Value, Error>;

/// The provider of the trigger type `<name>::type`.
#[derive(Clone, Default)]
struct Provider {
    bound: Arc<Mutex<BTreeMap<String, Value>>>,
    removed: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl TriggerHandler for Provider {
    async fn register_trigger(&self, binding: TriggerConfig) -> Result<(), Error> {
        if binding.config["refuse"] == true {
            return Err(Error::Handler("refused by the provider".to_string()));
        }
        let about = json!({ "function_id": binding.function_id, "config": binding.config });
        self.bound.lock().unwrap().insert(binding.id, about);
        Ok(())
    }

    async fn unregister_trigger(&self, binding: TriggerConfig) -> Result<(), Error> {
        self.bound.lock().unwrap().remove(&binding.id);
        self.removed.lock().unwrap().push(binding.id);
        Ok(())
    }
}

#[derive(Clone)]
struct Worker {
    client: IIIClient,
    name: String,
    noted: Arc<Mutex<Vec<Value>>>,
    triggers: Arc<Mutex<HashMap<String, Trigger>>>,
    provider: Provider,
}

impl Worker {
    fn id_of(&self, function: &str) -> String {
        format!("{}::{function}", self.name)
    }

    fn offer<F, R>(&self, function: &str, handler: F)
    where
        F: Fn(Worker, Value) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let worker = self.clone();
        let handler = move |data: Value| handler(worker.clone(), data);
        self.client
            .register_function(self.id_of(function), RegisterFunction::new_async(handler).description("d"));
    }

    /// Call the function that a request names.
    async fn trigger(&self, request: &Value) -> Answer {
        let action = match request["queue"].as_str() {
            Some(queue) => Some(TriggerAction::Enqueue { queue: queue.to_string() }),
            None if request["void"] == true => Some(TriggerAction::Void),
            None => None,
        };
        let call = TriggerRequest {
            function_id: text(request, "function_id"),
            payload: request["payload"].clone(),
            action,
            timeout_ms: Some(20_000),
        };
        match request.get("metadata") {
            Some(metadata) => self.client.trigger(call.metadata(metadata.clone())).await,
            None => self.client.trigger(call).await,
        }
    }
}

fn text(request: &Value, key: &str) -> String {
    request[key].as_str().unwrap_or_default().to_string()
}

async fn nothing(_: Worker, _: Value) -> Answer {
    Ok(Value::Null)
}

async fn echo(_: Worker, data: Value) -> Answer {
    Ok(data)
}

async fn fail(_: Worker, data: Value) -> Answer {
    Err(Error::Handler(format!("cannot take {}", text(&data, "what"))))
}

async fn fail_with_code(_: Worker, data: Value) -> Answer {
    Err(Error::Remote { code: text(&data, "code"), message: "as asked".to_string(), stacktrace: None })
}

async fn length(_: Worker, data: Value) -> Answer {
    Ok(json!(text(&data, "text").len()))
}

/// Call another function; tells its result or error.
async fn call(worker: Worker, request: Value) -> Answer {
    if let Some(pause_s) = request["pause_s"].as_f64() {
        tokio::time::sleep(Duration::from_secs_f64(pause_s)).await;
    }
    Ok(match worker.trigger(&request).await {
        Ok(result) => json!({ "result": result }),
        Err(Error::Remote { code, message, .. }) => json!({ "code": code, "message": message }),
        Err(error) => return Err(error),
    })
}

async fn note(worker: Worker, data: Value) -> Answer {
    worker.noted.lock().unwrap().push(data);
    Ok(Value::Null)
}

async fn notes(worker: Worker, _: Value) -> Answer {
    Ok(Value::Array(std::mem::take(&mut *worker.noted.lock().unwrap())))
}

#[allow(deprecated)] // 0.25 prefers `observe`, which only engines of that generation have
async fn bind(worker: Worker, trigger: Value) -> Answer {
    let function_id = text(&trigger, "function_id");
    let bound = worker.client.register_trigger(serde_json::from_value(trigger)?)?;
    worker.triggers.lock().unwrap().insert(function_id, bound);
    Ok(Value::Null)
}

async fn unbind(worker: Worker, trigger: Value) -> Answer {
    let bound = worker.triggers.lock().unwrap().remove(&text(&trigger, "function_id"));
    if let Some(trigger) = bound {
        trigger.unregister();
    }
    Ok(Value::Null)
}

async fn fire(worker: Worker, event: Value) -> Answer {
    let bound: Vec<Value> = worker.provider.bound.lock().unwrap().values().cloned().collect();
    for binding in &bound {
        let call = json!({ "function_id": binding["function_id"], "payload": event, "void": true });
        worker.trigger(&call).await?;
    }
    Ok(json!(bound.len()))
}

async fn provided(worker: Worker, _: Value) -> Answer {
    let Provider { bound, removed } = &worker.provider;
    Ok(json!({ "bound": *bound.lock().unwrap(), "removed": *removed.lock().unwrap() }))
}

#[allow(deprecated)] // as `bind`
fn provide(worker: &Worker) {
    let trigger_type = RegisterTriggerType::new(worker.id_of("type"), "d", worker.provider.clone());
    worker.client.register_trigger_type(trigger_type);
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (url, name) = (arguments.next().expect("a URL"), arguments.next().expect("a name"));
    let metadata = WorkerMetadata { name: name.clone(), ..Default::default() };
    let client = register_worker(&url, InitOptions { metadata: Some(metadata), ..Default::default() });
    let worker = Worker {
        client: client.clone(),
        name,
        noted: Arc::default(),
        triggers: Arc::default(),
        provider: Provider::default(),
    };
    provide(&worker);

    worker.offer("echo", echo);
    worker.offer("nothing", nothing);
    worker.offer("fail", fail);
    worker.offer("fail_with_code", fail_with_code);
    worker.offer("length", length);
    worker.offer("call", call);
    worker.offer("note", note);
    worker.offer("notes", notes);
    worker.offer("bind", bind);
    worker.offer("unbind", unbind);
    worker.offer("fire", fire);
    worker.offer("provided", provided);
    let echo_sync = RegisterFunction::new(|data: Value| -> Answer { Ok(data) });
    client.register_function(worker.id_of("echo_sync"), echo_sync);
    let with_metadata = |data: Value, metadata: Option<Value>| async move {
        Answer::Ok(json!({ "data": data, "metadata": metadata }))
    };
    client.register_function(worker.id_of("withmetadata"), RegisterFunction::new_async(with_metadata));
    let temporary = RegisterFunction::new(|_: Value| -> Answer { Ok(json!("here")) });
    let temporary = Mutex::new(Some(client.register_function(worker.id_of("temporary"), temporary)));
    let withdraw = RegisterFunction::new(move |_: Value| -> Answer {
        if let Some(function) = temporary.lock().unwrap().take() {
            function.unregister();
        }
        Ok(Value::Null)
    });
    client.register_function(worker.id_of("withdraw"), withdraw);

    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    client.shutdown();
}
