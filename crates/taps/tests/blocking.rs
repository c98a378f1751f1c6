//! Programs that have no runtime of their own.

use std::future::IntoFuture as _;
use std::thread;
use std::time::Duration;

use postroad_taps::blocking::{BlockingError, Runtime};
use postroad_taps::{LengthPrefix, LocalEndpoint, Preconnection, Security};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn an_echo_without_a_runtime() {
    let runtime = Runtime::shared().unwrap();
    let framed = Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new);
    let local = framed.clone().local(LocalEndpoint::host("127.0.0.1"));
    let listener = runtime.run(local.listen()).unwrap().unwrap();
    let address = listener.local_endpoint().clone();
    let server = thread::spawn({
        let runtime = runtime.clone();
        move || {
            let connection = runtime.run(listener.accept()).unwrap().unwrap().unwrap();
            while let Ok(message) = runtime.run(async { connection.receive().await }).unwrap() {
                runtime.run(async { connection.send(message.data).await }).unwrap().unwrap();
            }
            runtime.run(connection.close()).unwrap().unwrap();
        }
    });
    let connecting = framed.remote(address).initiate().timeout(PATIENCE).into_future();
    let connection = runtime.run(connecting).unwrap().unwrap();
    for number in 0..100 {
        let text = format!("message {number}");
        let echo = runtime.run_for(
            async {
                connection.send(text.clone()).await.unwrap();
                connection.receive().await.unwrap()
            },
            PATIENCE,
        );
        assert_eq!(&echo.unwrap().expect("an echo in time").data[..], text.as_bytes());
    }
    runtime.run(connection.close()).unwrap().unwrap();
    server.join().unwrap();
}

#[test]
fn a_task_is_told_that_it_must_not_block() {
    let outside = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let told = outside.block_on(async { tokio::spawn(async { Runtime::shared().map(drop) }).await.unwrap() });
    assert_eq!(told, Err(BlockingError::InsideRuntime));
    let error = told.unwrap_err();
    assert_eq!(error.to_string(), "a blocking call inside an async runtime");
    assert!(error.hint().contains("spawn_blocking"));
}
