//! A network and its faults between worker and queue, the faults from a seed. Connections are closed before or after the server has answered, delayed,
//! or left open. Answers are 500, 503, or the error of a wrong clock. Batches are refused in part, receipts have expired,
//! and messages come twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Which requests fail, and how the others get through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// How many of a hundred, in any of the ways.
    pub percent: u64,
    /// All that contain this text never reach the server, and get no answer.
    pub silent: Option<&'static str>,
    /// The entry of a batch that contains this text is refused, once and as for a fault of the service.
    pub refuses: Option<&'static str>,
    /// Those that contain this text wait for each other.
    pub in_turn: Option<&'static str>,
    /// How much later each answer comes.
    pub late: Duration,
}

impl Weather {
    /// Every request gets through at once.
    pub(crate) const CLEAR: Self =
        Self { percent: 0, silent: None, refuses: None, in_turn: None, late: Duration::ZERO };
}

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    faults: Arc<AtomicU64>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Starts a proxy in which some requests fail.
    pub(crate) async fn start(upstream: &str, weather: Weather, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("is bound"));
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let faults = Arc::new(AtomicU64::new(0));
        let (counted, turn) = (faults.clone(), Arc::new(Mutex::new(())));
        let serving = tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, counted, random) = (upstream.clone(), counted.clone(), random.fork());
                let turn = turn.clone();
                // The end of a connection is one of the proxy's faults.
                tokio::spawn(async move {
                    drop(forward(stream, &upstream, weather, random, &counted, &turn).await);
                });
            }
        });
        Self { endpoint, faults, serving }
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

/// Forwards request by request, each whole, so that a fault hits one call.
async fn forward(
    mut client: TcpStream,
    upstream: &str,
    weather: Weather,
    mut random: fastrand::Rng,
    faults: &AtomicU64,
    turn: &Mutex<()>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    // Without it each small answer waits for 40 ms.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    loop {
        let Some(request) = read_message(&mut client).await? else { return Ok(()) };
        if weather.silent.is_some_and(|text| contains(&request, text)) {
            faults.fetch_add(1, Ordering::Relaxed);
            return silence(&mut client).await;
        }
        if let Some(text) = weather.refuses
            && contains(&request, text)
            && faults.fetch_add(1, Ordering::Relaxed) == 0
        {
            let is_meant = |entry: &Value| entry.to_string().contains(text);
            let Some(answer) = partly(&request, &mut server, is_meant, false).await? else { return Ok(()) };
            client.write_all(&answer).await?;
            continue;
        }
        if random.u64(..100) >= weather.percent {
            let _turn = match weather.in_turn {
                Some(text) if contains(&request, text) => Some(turn.lock().await),
                _ => None,
            };
            server.write_all(&request).await?;
            let Some(answer) = read_message(&mut server).await? else { return Ok(()) };
            if !weather.late.is_zero() {
                tokio::time::sleep(weather.late).await;
            }
            client.write_all(&answer).await?;
            continue;
        }
        faults.fetch_add(1, Ordering::Relaxed);
        match random.u8(..9) {
            // The request never reaches the server.
            0 => return Ok(()),
            // The server has done it, but the answer is lost.
            1 => {
                server.write_all(&request).await?;
                read_message(&mut server).await?;
                return Ok(());
            }
            2 => client.write_all(&error(503, "ThrottlingException")).await?,
            3 => client.write_all(&error(500, "InternalError")).await?,
            // The answer is late, but in time.
            4 => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                server.write_all(&request).await?;
                let Some(answer) = read_message(&mut server).await? else { return Ok(()) };
                client.write_all(&answer).await?;
            }
            5 => client.write_all(&error(403, "InvalidSignatureException")).await?,
            6 | 7 => {
                // A message that is not sent again would be missing at the end.
                let refuses = !contains(&request, "SendMessage");
                let Some(answer) = partly(&request, &mut server, |_| refuses, random.bool()).await? else {
                    return Ok(());
                };
                client.write_all(&answer).await?;
            }
            // The connection stays open without an answer, until the client gives up.
            _ => {
                server.write_all(&request).await?;
                read_message(&mut server).await?;
                return silence(&mut client).await;
            }
        }
    }
}

/// Answers nothing until the client closes the connection.
async fn silence(client: &mut TcpStream) -> std::io::Result<()> {
    client.read_exact(&mut [0; 1]).await.map(|_| ())
}

fn contains(request: &[u8], text: &str) -> bool {
    request.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Refuses the first entry of a batch that is meant, and sends the first message of a receive twice. Does not change other answers.
async fn partly(
    request: &[u8],
    server: &mut TcpStream,
    is_meant: impl Fn(&Value) -> bool,
    is_final: bool,
) -> std::io::Result<Option<Vec<u8>>> {
    let (head, mut asked) = parsed(request);
    let refused = match asked.get_mut("Entries").and_then(Value::as_array_mut) {
        Some(entries) if entries.len() > 1 => {
            entries.iter().position(is_meant).map(|place| entries.remove(place))
        }
        _ => None,
    };
    server.write_all(&with_body(&head, &asked)).await?;
    let Some(answer) = read_message(server).await? else { return Ok(None) };
    let (head, mut answer) = parsed(&answer);
    if let Some(refused) = refused {
        let code = if is_final { "ReceiptHandleIsInvalid" } else { "InternalError" };
        let failed =
            json!({"Id": refused["Id"], "Code": code, "SenderFault": is_final, "Message": "injected"});
        answer["Failed"] = json!([failed]);
    } else if let Some(messages) = answer.get_mut("Messages").and_then(Value::as_array_mut)
        && (1..10).contains(&messages.len())
    {
        messages.push(messages[0].clone());
    }
    Ok(Some(with_body(&head, &answer)))
}

/// The head of an HTTP message, and its body as JSON; an empty one is null.
fn parsed(message: &[u8]) -> (String, Value) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(message.len());
    let head = String::from_utf8_lossy(&message[..end]).into_owned();
    (head, serde_json::from_slice(message.get(end + 4..).unwrap_or_default()).unwrap_or_default())
}

/// The same head, with the length of the new body.
fn with_body(head: &str, body: &Value) -> Vec<u8> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let is_kept = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name != "content-length" && name != "transfer-encoding"
    };
    let lines: Vec<_> = head.split("\r\n").filter(is_kept).collect();
    format!("{}\r\ncontent-length: {}\r\n\r\n{body}", lines.join("\r\n"), body.len()).into_bytes()
}

fn error(status: u16, code: &str) -> Vec<u8> {
    let body = format!("{{\"__type\":\"com.amazonaws.sqs#{code}\",\"message\":\"injected\"}}");
    let head = format!(
        "HTTP/1.1 {status} QueueError\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// One HTTP message with its body, by its content length or in chunks; `None` at the end of the connection.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let is_whole =
                match header(&head, "content-length").and_then(|length| length.parse::<usize>().ok()) {
                    Some(length) => bytes.len() >= end + 4 + length,
                    None if header(&head, "transfer-encoding").is_some() => bytes.ends_with(b"0\r\n\r\n"),
                    None => true,
                };
            if is_whole {
                return Ok(Some(bytes));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
