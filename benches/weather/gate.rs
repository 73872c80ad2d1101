//! A gate in front of a server: open, closed, or answering each request itself with an error.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sky {
    Clear,
    /// No connection gets through, and those that are open end.
    Closed,
    /// Each HTTP request is answered with this status and this code of SQS.
    Refusing(u16, &'static str),
}

pub(crate) struct Gate {
    pub(crate) address: String,
    sky: Arc<watch::Sender<Sky>>,
}

impl Gate {
    pub(crate) async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("is bound").to_string();
        let sky = Arc::new(watch::Sender::new(Sky::Clear));
        let (upstream, seen) = (upstream.to_owned(), sky.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, upstream.clone(), seen.subscribe()));
            }
        });
        Self { address, sky }
    }

    pub(crate) fn set(&self, sky: Sky) {
        self.sky.send_replace(sky);
    }
}

/// Forwards a connection until the sky changes. A client sees the connection end.
async fn pass(mut client: TcpStream, upstream: String, mut sky: watch::Receiver<Sky>) {
    let now = *sky.borrow_and_update();
    match now {
        Sky::Closed => {}
        Sky::Clear => {
            let Ok(mut server) = TcpStream::connect(upstream).await else { return };
            // Without it each small answer waits for 40 ms.
            let _set = (client.set_nodelay(true), server.set_nodelay(true));
            tokio::select! {
                _ended = copy_bidirectional(&mut client, &mut server) => {}
                _changed = sky.changed() => {}
            }
        }
        Sky::Refusing(status, code) => {
            let mut request = [0; 64 * 1024];
            if client.read(&mut request).await.is_ok() {
                let body = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"injected"}}"#);
                let head = format!(
                    "HTTP/1.1 {status} Refused\r\ncontent-type: application/x-amz-json-1.0\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ended = client.write_all(format!("{head}{body}").as_bytes()).await;
            }
        }
    }
}
