//! The limits: what a hand-written loop needs for the same rows and messages.

use std::sync::Arc;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use crate::app::EFFECT;
use crate::support::{delete, entry, send};

/// How many messages are received ahead for each handler.
const AHEAD: usize = 10;

/// How many rows a transaction of the raw relay takes, and how many of its batches are on their way at once.
const ROWS: i64 = 200;

async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

/// Handles messages until the queue is empty: begin, the row of the inbox, the work, commit, with prepared statements; deletes in
/// batches of ten.
pub(crate) async fn handle(client: &Client, url: &str, database: &str, handlers: usize, has_inbox: bool) {
    let (received, messages) = mpsc::channel::<Message>(handlers * AHEAD);
    let (finished, done) = mpsc::channel::<Message>(handlers * AHEAD);
    let messages = Arc::new(Mutex::new(messages));
    let mut running = JoinSet::new();
    for _ in 0..handlers.div_ceil(16) {
        let (client, url, received) = (client.clone(), url.to_owned(), received.clone());
        running.spawn(async move {
            loop {
                let receive = client.receive_message().queue_url(&url).max_number_of_messages(10);
                let batch = receive.send().await.expect("is received").messages.unwrap_or_default();
                if batch.is_empty() {
                    return;
                }
                for message in batch {
                    received.send(message).await.expect("a handler takes it");
                }
            }
        });
    }
    drop(received);
    for _ in 0..handlers {
        let (messages, finished, session) = (messages.clone(), finished.clone(), connect(database).await);
        running.spawn(async move {
            let inbox = "INSERT INTO inbox (queue, message_id) VALUES ('work', $1) ON CONFLICT DO NOTHING";
            let inbox = session.prepare(inbox).await.expect("is prepared");
            let effect = session.prepare(EFFECT).await.expect("is prepared");
            loop {
                let Some(message) = messages.lock().await.recv().await else { return };
                let number: i64 = message.body().unwrap_or_default().parse().expect("the body is a number");
                if has_inbox {
                    session.batch_execute("BEGIN").await.expect("begins");
                    let id = message.message_id().unwrap_or_default();
                    assert_eq!(session.execute(&inbox, &[&id]).await.expect("is written"), 1);
                    session.execute(&effect, &[&number]).await.expect("is written");
                    session.batch_execute("COMMIT").await.expect("commits");
                } else {
                    session.execute(&effect, &[&number]).await.expect("is written");
                }
                finished.send(message).await.expect("is deleted");
            }
        });
    }
    drop(finished);
    let (client, url, mut done) = (client.clone(), url.to_owned(), done);
    running.spawn(async move {
        let mut batch = Vec::new();
        while done.recv_many(&mut batch, 10).await > 0 {
            delete(&client, &url, &batch).await;
            batch.clear();
        }
    });
    running.join_all().await;
}

/// Publishes the outbox until it is empty: in each transaction some rows, in batches of ten at the same time.
pub(crate) async fn publish(client: &Client, url: &str, database: &str) {
    let session = connect(database).await;
    let queue = session.query_one("SELECT queue FROM outbox LIMIT 1", &[]).await.expect("is read");
    let url = &url.replace("/work", &format!("/{}", queue.get::<_, &str>(0)));
    let select = "SELECT id, body FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED";
    let select = session.prepare(select).await.expect("is prepared");
    let remove = session.prepare("DELETE FROM outbox WHERE id = ANY ($1)").await.expect("is prepared");
    loop {
        session.batch_execute("BEGIN").await.expect("begins");
        let rows = session.query(&select, &[&ROWS]).await.expect("are read");
        let rows: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        if rows.is_empty() {
            return session.batch_execute("COMMIT").await.expect("commits");
        }
        let mut sending = JoinSet::new();
        for batch in rows.chunks(10) {
            let bodies: Vec<_> = batch.iter().map(|(_, body)| body.clone()).collect();
            let (client, url) = (client.clone(), url.to_owned());
            sending.spawn(async move { send(&client, &url, bodies.into_iter().map(entry)).await });
        }
        sending.join_all().await;
        let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
        session.execute(&remove, &[&ids]).await.expect("are deleted");
        session.batch_execute("COMMIT").await.expect("commits");
    }
}
