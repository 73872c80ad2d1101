//! A web service that upgrades its own database when it starts, and refuses to work on any other schema.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls};

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    text: String,
}

async fn all(State(client): State<Arc<Client>>) -> Result<Json<Vec<Note>>, StatusCode> {
    let rows = client.query("SELECT text FROM notes ORDER BY written_at, id", &[]).await.map_err(failed)?;
    Ok(Json(rows.iter().map(|row| Note { text: row.get(0) }).collect()))
}

async fn write(State(client): State<Arc<Client>>, Json(note): Json<Note>) -> Result<StatusCode, StatusCode> {
    let written = client.execute("INSERT INTO notes (text) VALUES ($1)", &[&note.text]).await;
    written.map(|_| StatusCode::CREATED).map_err(failed)
}

fn failed(_: tokio_postgres::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn run() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let scripts = onward_migrate::scripts!();
    // In production a job of its own may call `migrate`; then the service calls `gate` alone.
    scripts.migrate(&url).await?;
    scripts.gate(&url).await?;

    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let closed = tokio::spawn(connection);
    let routes = Router::new().route("/notes", get(all).post(write)).with_state(Arc::new(client));
    let listener = tokio::net::TcpListener::bind(std::env::var("HTTP_ADDR")?).await?;
    tokio::select! {
        served = axum::serve(listener, routes) => served?,
        ended = closed => ended??,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        // Returned from `main` it would be shown as Rust's `Debug`, which is not for a person.
        Err(error) => {
            // Without a terminal or a log there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
