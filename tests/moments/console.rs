//! Who may look at the console, and who may act. What it looks like is tested in a browser, in `tests/browser`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::{
    DEADLINE, Database, Queue, Running, address_in, arguments, development, in_production, production,
    project, run,
};

const TOKEN: &str = "a-token-of-a-test-0123456789";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The cookie of a session.
    fn cookie(&self) -> String {
        let set = self.header("set-cookie").unwrap_or_else(|| panic!("no session: {}", self.head));
        set.split(';').next().unwrap_or_default().to_owned()
    }

    fn csrf(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("the page has a form");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

fn exchange(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("answers");
    stream.write_all(request.as_bytes()).expect("is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("has a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("has a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get(address: &str, path: &str, headers: &str) -> Answer {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    exchange(address, &format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
}

fn post(address: &str, path: &str, headers: &str, form: &str) -> Answer {
    let origin =
        if headers.contains("Origin:") { String::new() } else { format!("Origin: http://{address}\r\n") };
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{origin}{headers}Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
            form.len()
        ),
    )
}

struct World {
    database: Database,
    queue: Queue,
    serving: Running,
    address: String,
}

impl World {
    fn start(variables: &[(&str, &str)]) -> Self {
        let (database, queue) = (Database::create(), Queue::create());
        assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
        let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
        command.env("HTTP_ADDR", "127.0.0.1:0").envs(variables.iter().copied());
        let mut serving = Running::start(&mut command);
        let address = address_in(&serving.wait_for("health and metrics"));
        serving.wait_for("serving");
        Self { database, queue, serving, address }
    }

    fn log_in(&self) -> String {
        let entered = post(&self.address, "/console/login", "", &format!("token={TOKEN}"));
        assert_eq!(entered.status, 303, "{}", entered.head);
        format!("Cookie: {}\r\n", entered.cookie())
    }

    fn app(&self, given: &[&str]) -> String {
        let said = in_production(&self.database, &self.queue, given);
        assert_eq!(said.code, Some(0), "{given:?}: {}", said.stderr);
        said.stdout
    }
}

#[test]
fn without_a_token_only_this_machine_may_look_and_nobody_may_act() {
    let world = World::start(&[]);
    let address = &world.address;
    let page = get(address, "/console", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("deliveries") && !page.body.contains("Log out"), "{}", page.body);
    for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"] {
        assert!(page.header(name).is_some(), "{name}");
    }
    // A name of another site that points to this machine (DNS rebinding).
    let rebound = get(address, "/console", "Host: attacker.example:8080\r\n");
    assert_eq!(rebound.status, 403);
    assert!(rebound.body.contains("CONSOLE_TOKEN"), "it says why: {}", rebound.body);
    assert_eq!(post(address, "/console/dead/deliveries/act", "", "action=delete").status, 401);
    // A proxy on this machine, and another site that makes the browser of somebody here look.
    assert_eq!(get(address, "/console", "X-Forwarded-For: 203.0.113.9\r\n").status, 403);
    let looked = get(address, "/console/dead/deliveries", "Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(looked.status, 403, "{}", looked.body);
    assert_eq!(
        get(address, "/console", "Sec-Fetch-Site: cross-site\r\n").status,
        200,
        "a link may lead here"
    );
    let entered = post(address, "/console/login", "", "token=");
    assert_eq!(entered.status, 403, "there is no token to show");
    assert_eq!(get(address, "/console/send", "").status, 404, "only a development launch has it");
    assert_eq!(get(address, "/livez", "Host: attacker.example\r\n").status, 200, "health is for everybody");
}

#[test]
fn with_a_token_a_session_is_needed_and_forms_are_its_own() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let address = &world.address;
    for path in
        ["/console", "/console/events", "/console/dead/deliveries", "/console/instance", "/console/nothing"]
    {
        let answer = get(address, path, "");
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains("deliveries"), "{path}: {}", answer.body);
    }
    assert_eq!(get(address, "/console/assets/style.css", "").status, 200);
    assert_eq!(post(address, "/console/login", "", "token=wrong").status, 401);
    assert_eq!(
        post(address, "/console/login", "Origin: http://attacker.example\r\n", &format!("token={TOKEN}"))
            .status,
        403
    );
    let cookie = world.log_in();
    let entered = post(address, "/console/login", "", &format!("token={TOKEN}"));
    let set = entered.header("set-cookie").expect("a session begins");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(get(address, "/console", &cookie).status, 200);
    assert_eq!(
        get(address, "/console", "Cookie: onward_console=00000000000000000000000000000000\r\n").status,
        401
    );

    assert_eq!(get(address, "/console/dead/deliveries/confirm?action=redrive", &cookie).status, 400);
    assert_eq!(get(address, "/console/dead/deliveries/confirm?action=redrive&group=", &cookie).status, 400);
    let confirm = get(address, "/console/dead/deliveries/confirm?action=redrive&all=1", &cookie);
    let csrf = confirm.csrf();
    let act = |headers: &str, form: &str| post(address, "/console/dead/deliveries/act", headers, form);
    assert_eq!(act(&cookie, "action=redrive").status, 403, "no token of the session");
    assert_eq!(act(&cookie, "action=redrive&csrf=0123").status, 403);
    let foreign = format!("{cookie}Origin: http://attacker.example\r\n");
    assert_eq!(act(&foreign, &format!("action=redrive&csrf={csrf}")).status, 403);
    assert_eq!(act("", &format!("action=redrive&csrf={csrf}")).status, 401, "no session");
    assert_eq!(act(&cookie, &format!("action=redrive&csrf={csrf}")).status, 400, "nothing is not everything");
    let begun = act(&cookie, &format!("action=redrive&all=1&csrf={csrf}"));
    assert_eq!(begun.status, 303, "{}", begun.body);
    assert_eq!(begun.header("location"), Some("/console/actions/0"));
    assert_eq!(post(address, "/console/logout", &cookie, "").status, 303);
    assert_eq!(get(address, "/console", &cookie).status, 401, "the session has ended");
}

#[test]
fn tokens_cannot_be_guessed_quickly() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let tried: Vec<_> = (0..12)
        .map(|number| post(&world.address, "/console/login", "", &format!("token=guess-{number}")))
        .collect();
    assert!(tried[..10].iter().all(|answer| answer.status == 401));
    let last = tried.last().expect("there are twelve");
    assert_eq!((last.status, last.header("retry-after")), (429, Some("60")));
    let right = post(&world.address, "/console/login", "", &format!("token={TOKEN}"));
    assert_eq!(right.status, 429, "the right one waits, too");
}

#[test]
fn bodies_can_be_hidden_and_the_console_can_be_off() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN), ("CONSOLE_BODIES", "off")]);
    world.app(&[
        "queue",
        "send",
        "--id",
        "secret-order",
        r#"{"destination": "nowhere", "body": "a secret"}"#,
    ]);
    let mut world = world;
    world.serving.wait_for("message rejected");
    let cookie = world.log_in();
    let search = get(&world.address, "/console/dead/deliveries?search=nowhere", &cookie);
    assert!(search.body.contains("secret-order") && !search.body.contains("a secret"), "{}", search.body);
    let link = search.body.split('"').find(|text| text.contains("/letter?")).expect("a letter has a page");
    let letter = get(&world.address, link, &cookie);
    assert_eq!(letter.status, 200);
    assert!(letter.body.contains("secret-order") && !letter.body.contains("a secret"), "{}", letter.body);
    let body = link.replace("/letter?", "/body?");
    assert_eq!(get(&world.address, &body, &cookie).status, 403);

    let off = World::start(&[("CONSOLE", "off")]);
    assert_eq!(get(&off.address, "/console", "").status, 404);
}

#[test]
fn wrong_values_are_refused_by_name() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
    for (name, value) in [("CONSOLE", "yes"), ("CONSOLE_BODIES", "no"), ("CONSOLE_TOKEN", "short")] {
        let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
        let said = run(command.env("HTTP_ADDR", "127.0.0.1:0").env(name, value));
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(name) && said.stderr.contains("help:"), "{}", said.stderr);
        assert!(!said.stderr.contains("short"), "a token is never shown: {}", said.stderr);
    }
}

#[test]
fn a_page_shows_what_it_knows_while_its_server_is_away() {
    let world = World::start(&[]);
    let seen = get(&world.address, "/console/migrations", "");
    assert!(seen.body.contains("Baseline_0000.sql") || seen.body.contains("Baseline"), "{}", seen.body);
    assert!(seen.body.contains("current"), "{}", seen.body);
    let (server, name) = world.database.url.rsplit_once('/').expect("has a name");
    let name = name.split('?').next().unwrap_or_default();
    crate::support::query(
        &format!("{server}/app?sslmode=disable"),
        &format!("DROP DATABASE {name} WITH (FORCE)"),
    );
    let away = get(&world.address, "/console/migrations", "");
    assert_eq!(away.status, 200);
    assert!(away.body.contains("Cannot be read now") && away.body.contains("current"), "{}", away.body);

    let letters = get(&world.address, "/console/dead/deliveries", "");
    assert!(letters.body.contains("There is no dead letter"), "{}", letters.body);
    world.queue.delete("deliveries-dead");
    // A look is fresh for some seconds, so another queue's page would not tell; more letters need a new look.
    let gone = get(&world.address, "/console/dead/deliveries?more=1", "");
    assert_eq!(gone.status, 200);
    assert!(gone.body.contains("Cannot be read now"), "{}", gone.body);
}

#[test]
fn a_development_launch_prints_an_address_with_a_token() {
    let project = project();
    let mut launch = Running::start(development(project.path()).env("HTTP_ADDR", "127.0.0.1:0"));
    launch.wait_for("Watch it in a browser");
    let line = launch.wait_for("/console?token=");
    let (address, token) =
        line.trim().trim_start_matches("http://").split_once("/console?token=").expect("has both");
    assert_eq!(get(address, "/console/send", "").status, 200, "this machine may look");
    let entered = get(address, &format!("/console?token={token}"), "");
    assert_eq!((entered.status, entered.header("location")), (303, Some("/console")));
    let cookie = format!("Cookie: {}\r\n", entered.cookie());
    let form = get(address, "/console/send", &cookie);
    assert!(form.body.contains("hello"), "the app's example is filled in: {}", form.body);
    let body = "%7B%22destination%22%3A%22echo%22%2C%22body%22%3A1%7D";
    let fields = format!("csrf={}&queue=deliveries&body={body}", form.csrf());
    let sent = post(address, "/console/send", &cookie, &fields);
    assert!(sent.status == 200 && sent.body.contains("Sent:"), "{} {}", sent.status, sent.body);
    launch.wait_for("message done");
    // The page has the line a moment after the terminal.
    let deadline = Instant::now() + DEADLINE;
    while !get(address, "/console/log", &cookie).body.contains("message done") {
        assert!(Instant::now() < deadline, "the log has no such line");
    }
    launch.signal("-TERM");
    assert!(launch.end().0.success());
}

/// Sends a message that is a dead letter at once, with what a worker is said to have written about it.
fn bury(world: &World, id: &str, rejected: &str) {
    let dead = world.queue.url.replace("deliveries", "deliveries-dead");
    let attribute = format!("onward.rejected={rejected}");
    let given = ["queue", "send", "--id", id, "--attribute", &attribute, r#"{"destination": "nowhere"}"#];
    let said = run(&mut arguments(production(&world.database.url, &dead), given));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn no_letter_makes_its_page_unreachable() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let cookie = world.log_in();
    bury(&world, "late", r#"{"reason": "", "last_ms": 999999999999999999, "queue": "deliveries"}"#);
    bury(&world, "lines", r#"{"reason": "first line\nsecond line", "queue": "deliveries"}"#);
    bury(&world, "other", r#"{"reason": "of another queue", "queue": "elsewhere"}"#);
    let page = get(&world.address, "/console/dead/deliveries", &cookie);
    assert_eq!(page.status, 200, "{}", page.head);
    assert!(
        page.body.contains("no reason was recorded") && page.body.contains("first line second line"),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("1 more died in another queue") && !page.body.contains("of another queue"),
        "{}",
        page.body
    );
    for path in
        ["search=nowhere&page=18446744073709551615", "search=nowhere&page=-1", "group=%FF", "search=%00"]
    {
        let page = get(&world.address, &format!("/console/dead/deliveries?{path}"), &cookie);
        assert_eq!(page.status, 200, "{path}: {}", page.head);
    }
    let csrf = get(&world.address, "/console/dead/deliveries/confirm?action=delete&all=1", &cookie).csrf();
    let form = format!("action=delete&group=first+line+second+line&csrf={csrf}");
    assert_eq!(post(&world.address, "/console/dead/deliveries/act", &cookie, &form).status, 303);
    let mut world = world;
    let line = world.serving.wait_for("console: an action ended");
    assert!(line.contains(r#""done":1"#) && line.contains(r#""left":2"#), "{line}");
}

#[test]
fn a_look_that_nobody_waits_for_gives_its_letters_back() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let cookie = world.log_in();
    for id in ["a", "b", "c"] {
        bury(&world, id, r#"{"reason": "it fails", "queue": "deliveries"}"#);
    }
    // A browser that leaves at once.
    let mut stream = TcpStream::connect(&world.address).expect("answers");
    let request = format!("GET /console/dead/deliveries HTTP/1.1\r\nHost: {}\r\n{cookie}\r\n", world.address);
    stream.write_all(request.as_bytes()).expect("is open");
    drop(stream);
    // An action waits for the look, and finds everything.
    let csrf = get(&world.address, "/console/dead/deliveries/confirm?action=delete&all=1", &cookie).csrf();
    let form = format!("action=delete&all=1&csrf={csrf}");
    assert_eq!(post(&world.address, "/console/dead/deliveries/act", &cookie, &form).status, 303);
    let mut world = world;
    let line = world.serving.wait_for("console: an action ended");
    assert!(line.contains(r#""done":3"#), "{line}");
}

#[test]
fn two_persons_do_not_redrive_the_same_group_at_once() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let (first, second) = (world.log_in(), world.log_in());
    for id in ["a", "b", "c"] {
        bury(&world, id, r#"{"reason": "it fails", "queue": "deliveries"}"#);
    }
    let page = "/console/dead/deliveries/confirm?action=redrive&group=it+fails";
    let form = |csrf: &str| format!("action=redrive&group=it+fails&csrf={csrf}");
    let (of_first, of_second) =
        (get(&world.address, page, &first).csrf(), get(&world.address, page, &second).csrf());
    assert_ne!(of_first, of_second, "each session has its own");
    let act =
        |cookie: &str, csrf: &str| post(&world.address, "/console/dead/deliveries/act", cookie, &form(csrf));
    // A redrive ends with a receive that waits for a second, so the other person comes in time.
    let begun = act(&first, &of_first);
    let refused = act(&second, &of_second);
    assert_eq!((begun.status, begun.header("location")), (303, Some("/console/actions/0")));
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("A redrive runs on deliveries already"), "{}", refused.body);
    let mut world = world;
    let line = world.serving.wait_for("console: an action ended");
    assert!(line.contains(r#""done":3"#), "{line}");
    // The group has died again meanwhile or not; the second one may act now.
    let again = post(&world.address, "/console/dead/deliveries/act", &second, &form(&of_second));
    assert_eq!((again.status, again.header("location")), (303, Some("/console/actions/1")));
    world.serving.wait_for("console: an action ended");
}

#[test]
fn what_is_not_a_page_is_answered_with_a_page() {
    let world = World::start(&[("CONSOLE_TOKEN", TOKEN)]);
    let cookie = world.log_in();
    for path in ["/console/dead/%FF", "/console/queues/nothing", "/console/actions/99", "/console/nothing"] {
        let answer = get(&world.address, path, &cookie);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("<main"), "{path}: {}", answer.body);
    }
    let long = post(&world.address, "/console/login", "", &format!("token={}", "x".repeat(10_000)));
    assert_eq!(long.status, 413);
    assert!(long.body.contains("<main"), "{}", long.body);
}
