use libtest_mimic::Trial;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::chrome::{Driver, Page, VIEWS};
use crate::support::{
    Database, Queue, Running, address_in, arguments, development, production, project, run,
};

const TOKEN: &str = "a-token-of-a-test-0123456789";

pub(crate) fn all(axe: &str) -> Vec<Trial> {
    let trial = |name: &str, case: fn(&Runtime, &str)| {
        let axe = axe.to_owned();
        Trial::test(name, move || {
            case(&Runtime::new().expect("a runtime starts"), &axe);
            Ok(())
        })
    };
    vec![
        trial("a_message_is_sent_by_the_form_and_seen_done", a_message_is_sent_by_the_form_and_seen_done),
        trial("dead_letters_are_found_by_reason_and_redriven", dead_letters_are_found_by_reason_and_redriven),
        trial("every_page_is_accessible_in_every_view", every_page_is_accessible_in_every_view),
    ]
}

fn a_message_is_sent_by_the_form_and_seen_done(runtime: &Runtime, _: &str) {
    let project = project();
    let mut launch = Running::start(development(project.path()).env("HTTP_ADDR", "127.0.0.1:0"));
    let link = launch.wait_for("/console?token=").trim().to_owned();
    let driver = Driver::start();
    runtime.block_on(async {
        let page = driver.open(VIEWS[0]).await;
        page.go(&link).await;
        page.wait_for("busy handlers").await;
        page.press("Send").await;
        let example = page.find("#body").await.prop("value").await.expect("is readable").unwrap_or_default();
        assert!(example.contains("echo"), "the example is filled in: {example}");
        page.click("main form button").await;
        page.wait_for("Sent:").await;
        page.press("Overview").await;
        page.wait_for("calls a message").await;
        // The page changes by itself: the handler's time is a dash before the first message is done.
        page.run("document.activeElement.blur()").await;
        page.wait_until("the message to be done", |text| !text.contains("–, –, –")).await;
        page.press("Log").await;
        page.wait_for("message done").await;
        page.client.close().await.expect("the browser ends");
    });
}

/// An app with a token, 200 dead letters of three reasons, and two that are hostile.
struct World {
    _serving: Running,
    base: String,
    database: Database,
    queue: Queue,
}

impl World {
    fn start() -> Self {
        let (database, queue) = (Database::create(), Queue::create());
        assert_eq!(run(&mut arguments(production(&database.url, &queue.url), ["migrate"])).code, Some(0));
        let dead = queue_url(&queue.url, "deliveries-dead");
        for number in 0..200 {
            let reason = match number % 3 {
                0 => format!("the destination answered 503 after {number} ms"),
                1 => format!("connection refused (attempt {number})"),
                _ => "the order is closed".to_owned(),
            };
            letter(&database, &dead, &reason, &json!({"destination": "nowhere", "body": number}).to_string());
        }
        letter(
            &database,
            &dead,
            "<img src=x onerror=\"document.title='owned'\">",
            "<script>document.title='owned'</script>",
        );
        letter(&database, &dead, "a large one", &format!("{{\"text\": \"{}\"}}", "x</pre>".repeat(140_000)));
        let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
        let mut serving = Running::start(command.env("HTTP_ADDR", "127.0.0.1:0").env("CONSOLE_TOKEN", TOKEN));
        let base = format!("http://{}", address_in(&serving.wait_for("health and metrics")));
        Self { _serving: serving, base, database, queue }
    }

    async fn log_in(&self, page: &Page) {
        page.go(&format!("{}/console", self.base)).await;
        page.find("#token").await.send_keys(TOKEN).await.expect("is typed");
        page.click("main form button").await;
        page.wait_for("deliveries").await;
    }
}

fn queue_url(url: &str, name: &str) -> String {
    url.rsplit_once('/').map(|(server, _)| format!("{server}/{name}")).expect("has a name")
}

/// Puts a letter into the dead-letter queue, as the worker writes it.
fn letter(database: &Database, dead: &str, reason: &str, body: &str) {
    let rejected = json!({
        "reason": reason, "queue": "deliveries", "attempts": 5, "first_ms": 1_795_000_000_000_u64,
        "last_ms": 1_795_000_060_000_u64, "node": "worker-1", "receives": 1, "version": "1.0.0",
    });
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), body).expect("is written");
    let attribute = format!("onward.rejected={rejected}");
    let path = file.path().to_str().expect("is text");
    let given = ["queue", "send", "--attribute", &attribute, "--lines", path];
    let said = run(&mut arguments(production(&database.url, dead), given));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

fn dead_letters_are_found_by_reason_and_redriven(runtime: &Runtime, _: &str) {
    let world = World::start();
    let driver = Driver::start();
    runtime.block_on(async {
        let page = driver.open(VIEWS[0]).await;
        page.go(&format!("{}/console/dead/deliveries", world.base)).await;
        page.find("#token").await.send_keys("a wrong one").await.expect("is typed");
        page.click("main form button").await;
        page.wait_for("This is not the token.").await;
        world.log_in(&page).await;
        page.go(&format!("{}/console/dead/deliveries", world.base)).await;
        let groups = page.wait_for("the destination answered # after # ms").await;
        assert!(groups.contains("67 the destination answered"), "{groups}");
        assert!(groups.contains("67 connection refused (attempt #)"), "{groups}");
        assert!(groups.contains("66 the order is closed"), "{groups}");
        assert_eq!(page.run("return document.title").await, json!("Dead letters of deliveries · app"));

        page.click("a[aria-label='Redrive the group the order is closed']").await;
        page.wait_for("it concerns 66.").await;
        page.press("Redrive").await;
        let result = page.wait_for("It has ended.").await;
        assert!(result.contains("66 sent"), "{result}");
        page.press("The dead letters of deliveries").await;
        // The worker has rejected them again, with its own reason.
        let groups = page.wait_for("there is no destination `nowhere`").await;
        assert!(!groups.contains("the order is closed"), "{groups}");

        page.go(&format!("{}/console/dead/deliveries?search=script", world.base)).await;
        page.wait_for("1 letter(s).").await;
        page.click("main td a").await;
        let letter = page.wait_for("<script>document.title").await;
        assert!(letter.contains("<img src=x onerror"), "{letter}");
        assert_eq!(page.run("return document.title").await, json!("A dead letter · app"), "nothing ran");
        page.go(&format!("{}/console/dead/deliveries?group=a+large+one", world.base)).await;
        page.click("main td a").await;
        page.wait_for("The body goes on: it has 98").await;

        page.go(&format!("{}/console/dead/deliveries?search=script", world.base)).await;
        page.press("Delete the selected").await;
        page.wait_for("No letter is selected.").await;
        page.go(&format!("{}/console/dead/deliveries?search=script", world.base)).await;
        page.click("input[type=checkbox]").await;
        page.press("Delete the selected").await;
        page.wait_for("it concerns 1.").await;
        page.press("Delete").await;
        // Until it ends, an action hides what it has received.
        let deleted = page.wait_for("It has ended.").await;
        assert!(deleted.contains("1 deleted"), "{deleted}");
        page.client.close().await.expect("the browser ends");
    });
    let said = run(&mut arguments(
        production(&world.database.url, &world.queue.url),
        ["queue", "dead", "--group", "--json"],
    ));
    let groups: serde_json::Value = serde_json::from_str(&said.stdout).expect("is JSON");
    let letters =
        groups["groups"].as_array().expect("groups").iter().filter_map(|group| group["letters"].as_u64());
    assert_eq!(letters.sum::<u64>(), 201, "the command line sees the same: {groups}");
}

fn every_page_is_accessible_in_every_view(runtime: &Runtime, axe: &str) {
    let world = World::start();
    let project = project();
    let mut launch = Running::start(development(project.path()).env("HTTP_ADDR", "127.0.0.1:0"));
    let link = launch.wait_for("/console?token=").trim().to_owned();
    let (launched, _) = link.split_once("/console").expect("is an address");
    let driver = Driver::start();
    runtime.block_on(async {
        for view in VIEWS {
            let page = driver.open(view).await;
            page.go(&format!("{}/console", world.base)).await;
            page.find("#token").await;
            page.is_accessible("login", axe).await;
            world.log_in(&page).await;
            for (name, path) in [
                ("overview", "/console"),
                ("in-flight", "/console/in-flight"),
                ("dead", "/console/dead"),
                ("groups", "/console/dead/deliveries"),
                ("letters", "/console/dead/deliveries?group=connection+refused+%28attempt+%23%29"),
                ("confirm", "/console/dead/deliveries/confirm?action=delete&group=a+large+one"),
                ("migrations", "/console/migrations?drift=1"),
                ("instance", "/console/instance?checks=1"),
            ] {
                page.go(&format!("{}{path}", world.base)).await;
                page.find("main h1").await;
                page.is_accessible(name, axe).await;
            }
            page.go(&link).await;
            for (name, path) in
                [("send", "/console/send"), ("log", "/console/log"), ("findings", "/console/migrations")]
            {
                page.go(&format!("{launched}{path}")).await;
                page.find("main h1").await;
                page.is_accessible(name, axe).await;
            }
            page.client.close().await.expect("the browser ends");
        }
    });
}
