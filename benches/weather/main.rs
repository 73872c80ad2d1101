//! A long run in bad weather: outages of the queue, of the database and of one destination, throttling, expired credentials,
//! kills, restarts, poison and bad messages, on a standard queue, a FIFO queue and one without an inbox. At the end the
//! ledger: nothing lost, nothing done twice behind the inbox, no undeserved dead letter, order kept.
//! `cargo bench --bench weather -- MINUTES SEED MINUTES_OF_REST`

mod app;
mod gate;
#[path = "../../tests/queues/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "other benches use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_local::{LocalQueue, PrivatePostgres};
use support::{client, delete, entry, send};
use tokio_postgres::NoTls;

use self::app::Item;
use self::gate::{Gate, Sky};
use self::proxy::{Proxy, Weather};

const QUEUES: [&str; 3] = ["orders", "ledger.fifo", "plain"];
const DESTINATIONS: [&str; 4] = ["a", "b", "c", "d"];
const WORKERS: usize = 3;

/// How many of a hundred queue calls fail in clear weather, too.
const FAULTS: Weather = Weather { percent: 1, ..Weather::CLEAR };

/// How many minutes the rest may take after the weather has cleared: the longest delay is that of a FIFO queue, half an hour.
const REST: u64 = 40;

/// What a FIFO queue allows here: its messages cannot be sent anew, and this weather takes a receive each minute.
const RECEIVES_IN_FIFO: u32 = 50;

const TICK: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if given.first().is_some_and(|word| word == "serve" || word == "migrate") {
        return app::run();
    }
    let number = |place: usize, default| {
        given.get(place).map_or(default, |word: &String| word.parse().expect("is a number"))
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let minutes = |minutes| Duration::from_secs(60 * minutes);
    runtime.block_on(weather(minutes(number(0, 60)), number(1, 1), minutes(number(2, REST))))
}

/// What the weather does next, with how long it lasts.
#[derive(Debug, Clone, Copy)]
enum Event {
    QueueAway,
    Throttled,
    CredentialsExpired,
    DatabaseAway,
    DestinationDown(&'static str),
    AllDown,
    Kill,
    Restart,
    Poison,
    Bad,
}

struct World {
    database: String,
    down: tempfile::TempDir,
    logs: PathBuf,
    urls: BTreeMap<&'static str, String>,
    queue_gate: Gate,
    database_gate: Gate,
    workers: Vec<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // The kill of a worker that has already ended fails, which is fine.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

impl World {
    fn app(&self, command: &str) -> Command {
        let mut app = Command::new(std::env::current_exe().expect("is a file"));
        app.arg(command)
            .env("APP_ENV", "production")
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("RUST_LOG", "info")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("DATABASE_URL", &self.database)
            .env(app::DOWN, self.down.path());
        for (queue, url) in &self.urls {
            let suffix = queue.to_uppercase().replace('.', "_");
            let variable =
                if *queue == "orders" { "QUEUE_URL".to_owned() } else { format!("QUEUE_URL_{suffix}") };
            app.env(variable, url);
        }
        app.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        app
    }

    /// Starts a worker with a log of its own, named by its process, so that the way of each message can be read afterwards.
    fn start(&self, place: usize) -> Child {
        // As on hosts of their own.
        let state = self.logs.join(format!("state-{place}"));
        let log = self.logs.join("starting");
        let file = std::fs::File::create(&log).expect("is created");
        let output = file.try_clone().expect("can be shared");
        let worker = self
            .app("serve")
            .env("STATE_DIRECTORY", state)
            .stdout(output)
            .stderr(file)
            .spawn()
            .expect("the app starts");
        std::fs::rename(log, self.logs.join(format!("{}.log", worker.id()))).expect("is renamed");
        worker
    }

    /// Starts what has ended, as a service manager does.
    fn supervise(&mut self) -> usize {
        let mut ended = 0;
        for place in 0..self.workers.len() {
            if self.workers[place].try_wait().expect("can be asked").is_some() {
                self.workers[place] = self.start(place);
                ended += 1;
            }
        }
        ended
    }

    fn set_down(&self, destination: &str, is_down: bool) {
        let file = self.down.path().join(destination);
        match is_down {
            true => std::fs::write(file, "").expect("is written"),
            false => std::fs::remove_file(file).expect("was there"),
        }
    }
}

struct Producer {
    client: Client,
    urls: BTreeMap<&'static str, String>,
    sent: BTreeMap<&'static str, Vec<Item>>,
}

impl Producer {
    /// Sends ten messages to a queue; in the FIFO queue each destination is a group.
    async fn send(&mut self, queue: &'static str, kinds: [&str; 10]) {
        let sent = self.sent.entry(queue).or_default();
        let mut entries = Vec::new();
        for kind in kinds {
            let number = i64::try_from(sent.len()).expect("is small");
            let destination = DESTINATIONS[sent.len() % DESTINATIONS.len()];
            let item = Item { kind: kind.to_owned(), number, destination: destination.to_owned() };
            let body = serde_json::to_string(&item).expect("is JSON");
            let is_fifo = queue.ends_with(".fifo");
            let entry = entry(body)
                .set_message_group_id(is_fifo.then(|| destination.to_owned()))
                .set_message_deduplication_id(is_fifo.then(|| number.to_string()));
            entries.push(entry);
            sent.push(item);
        }
        send(&self.client, &self.urls[queue], entries).await;
    }
}

async fn weather(length: Duration, seed: u64, rest: Duration) -> ExitCode {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weather");
    let logs = home.join(format!("logs-{}", std::process::id()));
    std::fs::create_dir_all(&logs).expect("is created");
    say(&format!("the workers' logs: {}", logs.display()));
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    let name = format!("weather_{}", std::process::id());
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");
    let direct = server.url(&name);
    let (database, connection) = tokio_postgres::connect(&direct, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let tables = "CREATE TABLE inbox (queue text, message_id text, handled_at timestamptz NOT NULL DEFAULT now(), \
                  PRIMARY KEY (queue, message_id)); \
                  CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, queue text, number bigint)";

    let queues = LocalQueue::start(0).await.expect("a port is free");
    let mut urls = BTreeMap::new();
    for queue in QUEUES {
        urls.insert(queue, queues.create(queue).await.expect("is allowed"));
    }
    allow_receives(&client(queues.endpoint()), &urls["ledger.fifo"], RECEIVES_IN_FIFO).await;
    let proxy = Proxy::start(queues.endpoint(), FAULTS, seed).await;
    let queue_gate = Gate::before(proxy.endpoint.trim_start_matches("http://")).await;
    let at = direct.find("127.0.0.1:").expect("the private server listens on a loopback port");
    let port_end = direct[at..].find('/').expect("a database follows") + at;
    let database_gate = Gate::before(&direct[at..port_end]).await;
    let through = |url: &String| url.replace(queues.endpoint(), &format!("http://{}", queue_gate.address));
    let mut world = World {
        database: direct.replace(&direct[at..port_end], &database_gate.address),
        down: tempfile::tempdir().expect("is made"),
        logs,
        urls: urls.iter().map(|(queue, url)| (*queue, through(url))).collect(),
        queue_gate,
        database_gate,
        workers: Vec::new(),
    };
    assert!(world.app("migrate").status().expect("starts").success(), "the database is upgraded");
    database.batch_execute(tables).await.expect("are created");
    world.workers = (0..WORKERS).map(|place| world.start(place)).collect();
    let mut producer = Producer { client: client(queues.endpoint()), urls, sent: BTreeMap::new() };

    let mut random = fastrand::Rng::with_seed(seed);
    let (begun, mut counts) = (Instant::now(), BTreeMap::<String, usize>::new());
    let (mut ends, mut next) = (Vec::<(Instant, Event)>::new(), Instant::now());
    let mut ended = 0;
    while begun.elapsed() < length {
        for queue in QUEUES {
            producer.send(queue, ["good"; 10]).await;
        }
        ended += world.supervise();
        let now = Instant::now();
        for (_, event) in ends.extract_if(.., |(end, _)| *end <= now) {
            end(&world, event);
        }
        if now >= next {
            next = now + Duration::from_secs(random.u64(5..25));
            let event = pick(&mut random);
            let is_under_way = ends.iter().any(|(_, other)| format!("{other:?}") == format!("{event:?}"));
            if !is_under_way {
                *counts.entry(format!("{event:?}")).or_default() += 1;
                say(&format!("{:5.0} s: {event:?}", begun.elapsed().as_secs_f64()));
                if let Some(lasts) = begin(&mut world, &mut producer, &mut random, event).await {
                    ends.push((now + lasts, event));
                }
            }
        }
        tokio::time::sleep(TICK).await;
    }
    for (_, event) in ends {
        end(&world, event);
    }
    say(&format!("the weather is clear after {counts:?} and {ended} processes that ended by themselves"));

    let cleared = Instant::now();
    let mut dead: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    loop {
        ended += world.supervise();
        let done: i64 = {
            let row = database.query_one("SELECT count(DISTINCT (queue, number)) FROM effects", &[]).await;
            row.expect("is read").get(0)
        };
        for queue in QUEUES {
            dead.entry(queue).or_default().extend(dead_letters(&producer, queue).await);
        }
        let sent: usize = producer.sent.values().map(Vec::len).sum();
        let died: usize = dead
            .values()
            .map(|items| items.iter().map(|item| item.number).collect::<HashSet<_>>().len())
            .sum();
        if usize::try_from(done).expect("is positive") + died >= sent || cleared.elapsed() > rest {
            break;
        }
        tokio::time::sleep(TICK).await;
    }
    say(&format!(
        "all is done {:.0} s later; {ended} processes ended by themselves, {} calls failed",
        cleared.elapsed().as_secs_f64(),
        proxy.faults()
    ));
    // What goes on while it is counted would be in no column.
    for worker in &mut world.workers {
        // The kill of a worker that has already ended fails, which is fine.
        let _ = worker.kill();
        let _ = worker.wait();
    }
    let effects =
        database.query("SELECT queue, number FROM effects ORDER BY id", &[]).await.expect("is read");
    let mut done: HashMap<String, Vec<i64>> = HashMap::new();
    for row in effects {
        done.entry(row.get(0)).or_default().push(row.get(1));
    }
    let mut is_right = true;
    say("queue       |   sent |   done | dead | waiting | lost | twice | undeserved | out of order");
    for queue in QUEUES {
        let waiting = waiting(&producer, queue).await;
        let done = done.get(queue).map_or(&[][..], Vec::as_slice);
        is_right &= account(queue, &producer.sent[queue], done, &dead[queue], waiting);
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn pick(random: &mut fastrand::Rng) -> Event {
    match random.u8(..20) {
        0 | 1 => Event::QueueAway,
        2 | 3 => Event::Throttled,
        4 => Event::CredentialsExpired,
        5 | 6 => Event::DatabaseAway,
        7..=9 => Event::DestinationDown(DESTINATIONS[random.usize(..DESTINATIONS.len())]),
        10 => Event::AllDown,
        11..=13 => Event::Kill,
        14..=16 => Event::Restart,
        17 => Event::Poison,
        _ => Event::Bad,
    }
}

async fn begin(
    world: &mut World,
    producer: &mut Producer,
    random: &mut fastrand::Rng,
    event: Event,
) -> Option<Duration> {
    let mut seconds = |from, to| Some(Duration::from_secs(random.u64(from..to)));
    match event {
        Event::QueueAway => {
            world.queue_gate.set(Sky::Closed);
            seconds(5, 60)
        }
        Event::Throttled => {
            world.queue_gate.set(Sky::Refusing(400, "RequestThrottled"));
            seconds(5, 30)
        }
        Event::CredentialsExpired => {
            world.queue_gate.set(Sky::Refusing(403, "ExpiredTokenException"));
            seconds(10, 60)
        }
        Event::DatabaseAway => {
            world.database_gate.set(Sky::Closed);
            seconds(5, 90)
        }
        Event::DestinationDown(destination) => {
            world.set_down(destination, true);
            seconds(30, 300)
        }
        Event::AllDown => {
            for destination in DESTINATIONS.iter().filter(|it| !world.down.path().join(it).exists()) {
                world.set_down(destination, true);
            }
            seconds(30, 180)
        }
        Event::Kill => {
            let victim = random.usize(..WORKERS);
            // A worker that has just ended by itself is started again in any case.
            let _ = world.workers[victim].kill();
            None
        }
        Event::Restart => {
            let pid = world.workers[random.usize(..WORKERS)].id().to_string();
            let told = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
            told.expect("kill runs");
            None
        }
        Event::Poison | Event::Bad => {
            let kind = if matches!(event, Event::Poison) { "poison" } else { "bad" };
            let mut kinds = ["good"; 10];
            kinds[random.usize(..10)] = kind;
            producer.send(QUEUES[random.usize(..QUEUES.len())], kinds).await;
            None
        }
    }
}

fn end(world: &World, event: Event) {
    match event {
        Event::QueueAway | Event::Throttled | Event::CredentialsExpired => world.queue_gate.set(Sky::Clear),
        Event::DatabaseAway => world.database_gate.set(Sky::Clear),
        Event::DestinationDown(_) | Event::AllDown => {
            for destination in DESTINATIONS.iter().filter(|it| world.down.path().join(it).exists()) {
                world.set_down(destination, false);
            }
        }
        Event::Kill | Event::Restart | Event::Poison | Event::Bad => {}
    }
}

async fn dead_letters(producer: &Producer, queue: &str) -> Vec<Item> {
    let url = match producer.urls[queue].strip_suffix(".fifo") {
        Some(stem) => format!("{stem}-dead.fifo"),
        None => format!("{}-dead", producer.urls[queue]),
    };
    let receive = producer.client.receive_message().queue_url(&url).max_number_of_messages(10);
    let letters = receive.send().await.expect("is received").messages.unwrap_or_default();
    if letters.is_empty() {
        return Vec::new();
    }
    delete(&producer.client, &url, &letters).await;
    let item = |body: &str| serde_json::from_str(body).expect("is an item");
    letters.iter().map(|letter| item(letter.body().unwrap_or_default())).collect()
}

/// Sets after how many receives a queue makes a message a dead letter.
async fn allow_receives(client: &Client, url: &str, most: u32) {
    let get = client.get_queue_attributes().queue_url(url).attribute_names(Attribute::RedrivePolicy);
    let all = get.send().await.expect("is read").attributes.unwrap_or_default();
    let mut policy: serde_json::Value =
        serde_json::from_str(&all[&Attribute::RedrivePolicy]).expect("a policy is JSON");
    policy["maxReceiveCount"] = most.into();
    let set = client.set_queue_attributes().queue_url(url);
    set.attributes(Attribute::RedrivePolicy, policy.to_string()).send().await.expect("is set");
}

/// How many messages are in a queue, hidden and delayed ones counted.
async fn waiting(producer: &Producer, queue: &str) -> usize {
    let counts = [
        Attribute::ApproximateNumberOfMessages,
        Attribute::ApproximateNumberOfMessagesNotVisible,
        Attribute::ApproximateNumberOfMessagesDelayed,
    ];
    let get = producer.client.get_queue_attributes().queue_url(&producer.urls[queue]);
    let all = get.set_attribute_names(Some(counts.to_vec())).send().await.expect("is read");
    let all = all.attributes.unwrap_or_default();
    counts.iter().map(|name| all[name].parse::<usize>().expect("is a number")).sum()
}

/// Prints the account of a queue, and says whether it is right.
fn account(queue: &str, sent: &[Item], done: &[i64], dead: &[Item], waiting: usize) -> bool {
    let different: HashSet<i64> = done.iter().copied().collect();
    let died: HashSet<i64> = dead.iter().map(|item| item.number).collect();
    let is_open = |item: &&Item| !different.contains(&item.number) && !died.contains(&item.number);
    let open: Vec<&Item> = sent.iter().filter(is_open).collect();
    let lost = open.len().saturating_sub(waiting);
    let twice = done.len() - different.len();
    let undeserved: Vec<i64> =
        dead.iter().filter(|item| item.kind == "good").map(|item| item.number).collect();
    let groups = DESTINATIONS.len() as i64;
    let is_sorted = |group: i64| done.iter().filter(|number| **number % groups == group).is_sorted();
    let is_fifo = queue.ends_with(".fifo");
    let out_of_order = if is_fifo { (0..groups).filter(|group| !is_sorted(*group)).count() } else { 0 };
    say(&format!(
        "{queue:12}| {:6} | {:6} | {:4} | {waiting:7} | {lost:4} | {twice:5} | {:10} | {out_of_order:5} group(s)",
        sent.len(),
        different.len(),
        died.len(),
        undeserved.len()
    ));
    if !undeserved.is_empty() {
        say(&format!("undeserved in {queue}: {undeserved:?}"));
    }
    if !open.is_empty() {
        for destination in DESTINATIONS {
            let mut of_group = open.iter().filter(|item| item.destination == destination);
            if let Some(first) = of_group.next() {
                let number = 1 + of_group.count();
                say(&format!("open in {queue}, group {destination}: {number} messages, the first {first:?}"));
            }
        }
    }
    open.is_empty() && undeserved.is_empty() && out_of_order == 0 && (twice == 0 || queue == "plain")
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("is open");
}
