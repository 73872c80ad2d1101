//! A fake SQL Server that speaks a part of MS-TDS. It keeps the transaction, the lock and the journal as the documentation
//! describes them. In the batches of a script it does what their comments say.
//! <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/>
//!
//! A comment `-- error NUMBER LINE [PROCEDURE]: TEXT` raises an error, `-- print TEXT` a message, and `-- rows N` returns
//! a result set. `-- rollback` and `-- commit` end the transaction, `-- noexec` stops the session from executing, and `-- hang up` ends
//! the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Every batch that the server received, of all connections.
    pub(crate) batches: Vec<String>,
    /// The committed rows of the journal, once it exists: version, name, applied_on, sha256, state, floor,
    /// duration_ms, host, app_version.
    pub(crate) journal: Option<Vec<[String; 9]>>,
    /// Where a connection leads to; `app` by default.
    pub(crate) database: Option<&'static str>,
    /// The numbers of the errors with which it refuses the next logins.
    pub(crate) refusals: Vec<u32>,
    lock: Option<usize>,
    connections: usize,
}

#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    /// Notified when a batch runs that has no answer.
    pub(crate) says_nothing: Arc<Notify>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("is bound").port();
        let url = format!("server=tcp:127.0.0.1,{port};user=app;password=hush;encrypt=DANGER_PLAINTEXT");
        let server = Self { state: Arc::default(), says_nothing: Arc::default(), url };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                tokio::spawn(async move {
                    let id = {
                        let mut state = server.state();
                        state.connections += 1;
                        state.connections
                    };
                    let mut connection = Connection {
                        server,
                        id,
                        open: 0,
                        pending: Vec::new(),
                        mark: (false, false),
                        no_exec: false,
                        acts_as_another: None,
                    };
                    // When a client ends its connection, its lock and its transaction end too.
                    let _ = connection.serve(stream).await;
                    let mut state = connection.server.state();
                    if state.lock == Some(id) {
                        state.lock = None;
                    }
                });
            }
        });
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches since the last call, without the long lists of settings.
    pub(crate) fn heard(&self) -> Vec<String> {
        let batches = std::mem::take(&mut self.state().batches);
        let short = |batch: String| match batch.find("SET XACT_ABORT ON;") {
            Some(at) if batch.starts_with("SET NOEXEC OFF") => {
                format!("RESET {}", batch[at + "SET XACT_ABORT ON;".len()..].trim())
            }
            _ => batch,
        };
        batches.into_iter().map(short).map(|batch| batch.trim().to_owned()).collect()
    }
}

struct Connection {
    server: Server,
    id: usize,
    /// `@@TRANCOUNT`.
    open: i32,
    pending: Vec<[String; 9]>,
    /// Whether the row of the temporary table is there: in this transaction, and committed.
    mark: (bool, bool),
    no_exec: bool,
    /// `EXECUTE AS`, and whether it can be reverted.
    acts_as_another: Option<bool>,
}

const PRELOGIN: u8 = 0x12;
const LOGIN7: u8 = 0x10;
const ATTENTION: u8 = 6;
/// The status of the DONE token that answers it.
const ATTENTION_DONE: u16 = 0x20;
const BATCH: u8 = 0x01;

impl Connection {
    async fn serve(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let (kind, payload) = read_message(&mut stream).await?;
            let answer = match kind {
                // VERSION at offset 11, ENCRYPTION (not supported) at 17, end of the list.
                PRELOGIN => vec![0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 2],
                LOGIN7 if payload.windows(8).any(|bytes| bytes == utf16("none")) => {
                    [message(0xaa, 18_456, 14, "Login failed for user 'none'.", "", 1), done(2)].concat()
                }
                LOGIN7 => match self.server.state().refusals.pop() {
                    Some(number) => [message(0xaa, number, 17, "Not now.", "", 1), done(2)].concat(),
                    None => [login_ack(), done(0)].concat(),
                },
                BATCH if batch_text(&payload).contains("-- say nothing") => {
                    self.server.says_nothing.notify_one();
                    continue;
                }
                ATTENTION => {
                    self.server.state().batches.push("attention".to_owned());
                    done(ATTENTION_DONE)
                }
                BATCH => match self.answer(&batch_text(&payload)) {
                    Some(answer) => answer,
                    None => return Ok(()),
                },
                _ => [message(0xaa, 1, 16, "not served", "", 1), done(2)].concat(),
            };
            write_message(&mut stream, &answer).await?;
        }
    }

    fn answer(&mut self, batch: &str) -> Option<Vec<u8>> {
        let server = self.server.clone();
        let mut state = server.state();
        state.batches.push(batch.to_owned());
        if batch.contains("SET NOEXEC OFF") {
            self.no_exec = false;
        }
        if self.no_exec {
            return Some(done(0));
        }
        if batch.contains("QUOTENAME(SCHEMA_NAME())") {
            let database = state.database.unwrap_or("app");
            let itself = ["[dbo]", "dbo", "app", database].map(str::to_owned).to_vec();
            let (_, printed) = batch.split_once("PRINT N'").expect("prints first");
            let (printed, _) = printed.split_once('\'').expect("is a string");
            let printed = message(0xab, 0, 0, printed, "", 1);
            return Some([printed, rows(&[Column::Text; 4], &[itself])].concat());
        }
        if batch.contains("sp_getapplock") {
            let free = state.lock.is_none_or(|holder| holder == self.id);
            if free {
                state.lock = Some(self.id);
            }
            return Some(number(if free { 0 } else { -1 }));
        }
        if batch.contains("sp_releaseapplock") {
            state.lock = None;
            return Some(done(0));
        }
        if batch.contains("dm_tran_locks") {
            let text = "VIEW SERVER STATE permission was denied on object 'server', database 'master'.";
            return Some([message(0xaa, 300, 14, text, "", 1), done(2)].concat());
        }
        if batch.contains("ORDER BY version") {
            let is_whole = batch.contains("duration_ms");
            return Some(match &state.journal {
                None if is_whole => done(0),
                None => number(0),
                Some(journal) if is_whole => {
                    let entry = |row: &[String; 9]| {
                        let [version, name, on, digest, row_state, floor, took, host, app] = row.clone();
                        let user = "app".to_owned();
                        vec![version, name, on, digest, row_state, floor, took, user, host, app]
                    };
                    let all: Vec<Vec<String>> = journal.iter().map(entry).collect();
                    rows(&[Column::Text; 10], &all)
                }
                Some(journal) => {
                    let all: Vec<Vec<String>> = journal.iter().map(|row| row[..6].to_vec()).collect();
                    rows(&[Column::Text; 6], &all)
                }
            });
        }
        if batch.starts_with("SELECT CASE WHEN EXISTS") {
            return Some(number(0));
        }
        if batch.contains("CREATE TABLE [dbo].schema_journal") {
            state.journal.get_or_insert_default();
            return Some(done(0));
        }
        if batch.contains("BEGIN REVERT;") {
            self.acts_as_another = self.acts_as_another.filter(|reverts| !reverts);
            return Some(done(0));
        }
        if batch.contains("SELECT -2;") && self.acts_as_another.is_some() {
            return Some(number(-2));
        }
        if batch.contains("IF @@TRANCOUNT > 0 ROLLBACK") {
            self.roll_back();
            return Some(number(i32::from(self.mark.1)));
        }
        if batch.contains("schema_journal") {
            return Some(self.journal(batch, &mut state));
        }
        if batch.trim_end().ends_with("BEGIN TRANSACTION; INSERT INTO #onward_transaction VALUES (1);") {
            self.open += 1;
            self.mark = (true, false);
            return Some([transaction(8), done(0)].concat());
        }
        if batch.starts_with("SET NOEXEC OFF") {
            return Some(done(0));
        }
        self.script(batch)
    }

    fn journal(&mut self, batch: &str, state: &mut State) -> Vec<u8> {
        let journal = state.journal.get_or_insert_default();
        if batch.contains("UPDATE") {
            let last = journal.last_mut().expect("a row was started");
            last[4] = "applied".to_owned();
            return number(-1);
        }
        let inserted: Vec<_> = batch.split("INSERT INTO").skip(1).map(inserted).collect();
        if !batch.contains("@@TRANCOUNT = 1") {
            journal.extend(inserted);
            self.open = 0;
            return done(0);
        }
        if self.open != 1 {
            return number(self.open);
        }
        self.pending.extend(inserted);
        if batch.contains("COMMIT") {
            journal.append(&mut self.pending);
            self.open = 0;
            return [transaction(9), number(-1)].concat();
        }
        number(-1)
    }

    fn roll_back(&mut self) {
        (self.open, self.pending, self.mark.0) = (0, Vec::new(), false);
    }

    /// A batch of a script does what its comments say, in their order.
    fn script(&mut self, batch: &str) -> Option<Vec<u8>> {
        let mut answer = Vec::new();
        let mut failed = false;
        for order in batch.lines().filter_map(|line| line.split_once("-- ").map(|(_, order)| order)) {
            if let Some(text) = order.strip_prefix("print ") {
                answer.extend(message(0xab, 0, 0, text, "", 1));
            } else if let Some(count) = order.strip_prefix("rows ") {
                let count = count.parse().expect("is a number");
                answer.extend(rows_with(&[Column::Number], &vec![vec!["1".to_owned()]; count], 1));
            } else if let Some((place, text)) =
                order.strip_prefix("error ").and_then(|rest| rest.split_once(": "))
            {
                let mut words = place.split(' ');
                let mut word = || words.next().unwrap_or_default().parse::<u32>().unwrap_or_default();
                let (code, line) = (word(), word());
                answer.extend(message(0xaa, code, 16, text, words.next().unwrap_or_default(), line));
                failed = true;
            } else if order == "rollback" {
                self.roll_back();
            } else if order == "commit" {
                self.mark.1 |= self.mark.0;
                self.open = 0;
            } else if order == "begin" {
                self.open += 1;
            } else if let Some(how) = order.strip_prefix("execute as another") {
                self.acts_as_another = Some(!how.ends_with("with no revert"));
            } else if order == "noexec" {
                self.no_exec = true;
            } else if order == "hang up" {
                return None;
            }
        }
        answer.extend(done(if failed { 2 } else { 0 }));
        Some(answer)
    }
}

/// The token that tells a client of the begin (8) or the end (9) of a transaction.
/// <https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/2b3eb7e5-d43d-4d1b-bf4d-76b9e3afc791>
fn transaction(change: u8) -> Vec<u8> {
    let (new, old) = if change == 8 { (8, 0) } else { (0, 8) };
    let mut body = vec![change, new];
    body.extend(vec![1; usize::from(new)]);
    body.push(old);
    body.extend(vec![1; usize::from(old)]);
    let length = u16::try_from(body.len()).expect("is short").to_le_bytes();
    [&[0xe3], &length[..], &body].concat()
}

/// The values of an `INSERT`: version, name, applied_on, sha256, state, floor, duration_ms, host, app_version.
fn inserted(statement: &str) -> [String; 9] {
    let (_, values) = statement.split_once("VALUES (").expect("has values");
    let (values, _) = values.split_once(");").expect("the values end");
    let value = |value: &str| match value {
        "NULL" => String::new(),
        value => value.trim_start_matches('N').trim_matches('\'').to_owned(),
    };
    let values: Vec<_> = values.split(", ").map(value).collect();
    [0, 1, 2, 4, 5, 6, 7, 9, 10].map(|index: usize| values[index].clone())
}

async fn read_message(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut payload = Vec::new();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]])) - 8;
        let start = payload.len();
        payload.resize(start + length, 0);
        stream.read_exact(&mut payload[start..]).await?;
        if header[1] & 1 == 1 {
            return Ok((header[0], payload));
        }
    }
}

async fn write_message(stream: &mut TcpStream, payload: &[u8]) -> std::io::Result<()> {
    let chunks: Vec<_> = payload.chunks(4000).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let last = u8::from(index + 1 == chunks.len());
        let length = u16::try_from(chunk.len() + 8).expect("is short").to_be_bytes();
        stream.write_all(&[4, last, length[0], length[1], 0, 0, 1, 0]).await?;
        stream.write_all(chunk).await?;
    }
    stream.flush().await
}

fn batch_text(payload: &[u8]) -> String {
    let headers = u32::from_le_bytes([payload[0], payload[1], payload[2], payload[3]]) as usize;
    let units: Vec<_> =
        payload[headers..].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).expect("is UTF-16")
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn short_text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.encode_utf16().count()).expect("is short");
    [vec![length], utf16(text)].concat()
}

fn done(status: u16) -> Vec<u8> {
    [vec![0xfd], status.to_le_bytes().to_vec(), vec![0; 10]].concat()
}

fn login_ack() -> Vec<u8> {
    let body = [vec![1, 0x74, 0, 0, 4], short_text("mock"), vec![16, 0, 0, 0]].concat();
    let length = u16::try_from(body.len()).expect("is short").to_le_bytes();
    [vec![0xad], length.to_vec(), body].concat()
}

fn message(token: u8, number: u32, class: u8, text: &str, procedure: &str, line: u32) -> Vec<u8> {
    let length = u16::try_from(text.encode_utf16().count()).expect("is short").to_le_bytes();
    let body = [
        number.to_le_bytes().to_vec(),
        vec![1, class],
        length.to_vec(),
        utf16(text),
        short_text("mock"),
        short_text(procedure),
        line.to_le_bytes().to_vec(),
    ]
    .concat();
    let length = u16::try_from(body.len()).expect("is short").to_le_bytes();
    [vec![token], length.to_vec(), body].concat()
}

#[derive(Clone, Copy)]
enum Column {
    Number,
    Text,
}

fn number(value: i32) -> Vec<u8> {
    rows(&[Column::Number], &[vec![value.to_string()]])
}

fn rows(columns: &[Column], values: &[Vec<String>]) -> Vec<u8> {
    rows_with(columns, values, 0)
}

fn rows_with(columns: &[Column], values: &[Vec<String>], status: u16) -> Vec<u8> {
    let mut answer = vec![0x81];
    answer.extend(u16::try_from(columns.len()).expect("is short").to_le_bytes());
    for column in columns {
        answer.extend([0, 0, 0, 0, 0, 0]);
        match column {
            Column::Number => answer.push(0x38),
            Column::Text => answer.extend([0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34]),
        }
        answer.push(0);
    }
    for row in values {
        answer.push(0xd1);
        for (column, value) in columns.iter().zip(row) {
            match column {
                Column::Number => answer.extend(value.parse::<i32>().expect("is a number").to_le_bytes()),
                Column::Text => {
                    let text = utf16(value);
                    answer.extend(u16::try_from(text.len()).expect("is short").to_le_bytes());
                    answer.extend(text);
                }
            }
        }
    }
    answer.extend(done(status));
    answer
}
