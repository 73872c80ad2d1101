//! Chromium by its driver, for one test each.

use std::io::{BufRead as _, BufReader};
#[cfg(unix)]
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// How long a page may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub name: &'static str,
    pub is_dark: bool,
    /// The width of a small screen; none is a window of 1,440.
    pub phone: Option<u32>,
}

pub(crate) const VIEWS: [View; 3] = [
    View { name: "light", is_dark: false, phone: None },
    View { name: "dark", is_dark: true, phone: None },
    View { name: "phone", is_dark: false, phone: Some(360) },
];

/// The driver, which ends with its browsers.
pub(crate) struct Driver {
    process: Child,
    address: String,
}

impl Driver {
    pub(crate) fn is_there() -> bool {
        Command::new("chromedriver")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    }

    pub(crate) fn start() -> Self {
        let mut command = Command::new("chromedriver");
        // A group of its own, so that a test that fails leaves no browser behind.
        #[cfg(unix)]
        command.process_group(0);
        command.arg("--port=0").stdout(Stdio::piped());
        let mut process = command.spawn().expect("chromedriver starts");
        let lines = BufReader::new(process.stdout.take().expect("is piped")).lines().map_while(Result::ok);
        let port = lines.into_iter().find_map(|line| {
            let (_, port) = line.split_once("was started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        Self { process, address: format!("http://127.0.0.1:{}", port.expect("it says its port")) }
    }

    pub(crate) async fn open(&self, view: View) -> Page {
        let mut arguments = vec!["--headless=new".to_owned(), "--no-sandbox".to_owned()];
        arguments.push("--disable-dev-shm-usage".to_owned());
        arguments.push(format!("--blink-settings=preferredColorScheme={}", if view.is_dark { 0 } else { 1 }));
        arguments.push("--window-size=1440,1000".to_owned());
        let mut options = json!({ "args": arguments });
        if let Some(width) = view.phone {
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": width, "height": 740, "pixelRatio": 2.0 } });
        }
        let mut builder = ClientBuilder::new(hyper_util_connector());
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        builder.capabilities(wanted.as_object().expect("is an object").clone());
        let client = builder.connect(&self.address).await.expect("a browser starts");
        Page { client, view }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        // One that has ended already is no error.
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

fn hyper_util_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

/// A browser with one page.
pub(crate) struct Page {
    pub client: Client,
    pub view: View,
}

impl Page {
    pub(crate) async fn go(&self, url: &str) {
        self.client.goto(url).await.expect("the page loads");
    }

    pub(crate) async fn find(&self, css: &str) -> Element {
        self.locate(Locator::Css(css), css).await
    }

    async fn locate(&self, locator: Locator<'_>, name: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(locator).await {
            Ok(found) => found,
            Err(error) => panic!("{name}: {error}; {}", self.whereabouts().await),
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Clicks the link or button with this text.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//*[self::a or self::button][normalize-space()='{text}']");
        self.locate(Locator::XPath(&path), text)
            .await
            .click()
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    pub(crate) async fn text(&self) -> String {
        // In one step, because the page may change between two.
        let text = self.run("return document.querySelector('main')?.innerText ?? ''").await;
        // Cells are apart by a tab.
        text.as_str().expect("is a text").replace('\t', " ")
    }

    /// Waits until the page shows a text; the page itself changes.
    pub(crate) async fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |shown| shown.contains(text)).await
    }

    /// Waits until the text of the page is as wanted. The driver tells of no change, so it is asked again and again.
    pub(crate) async fn wait_until(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let shown = async {
            loop {
                let all = self.text().await;
                if is_wanted(&all) {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, shown).await {
            Ok(all) => all,
            Err(_) => panic!("no `{what}` in time: {}; {}", self.text().await, self.whereabouts().await),
        }
    }

    /// What the browser shows, for the report of a failure: an error of the browser's own is a page too.
    async fn whereabouts(&self) -> String {
        let script = "return [location.href, document.readyState, document.body.innerText.slice(0, 2000)]";
        self.client
            .execute(script, Vec::new())
            .await
            .map_or_else(|error| error.to_string(), |seen| seen.to_string())
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// The page has no error that axe-core knows, no line that is wider than the screen, and the console of the browser is empty.
    pub(crate) async fn is_accessible(&self, name: &str, axe: &str) {
        self.run(axe).await;
        let script = "const done = arguments[0]; axe.run().then(found => done(found.violations.map(violation => \
                      `${violation.id}: ${violation.nodes.map(node => node.html.slice(0, 200)).join(' | ')}`)))";
        let found = self.client.execute_async(script, Vec::new()).await.expect("axe runs");
        assert_eq!(found, json!([]), "{name}, {}", self.view.name);
        let widths = self.run("return [document.documentElement.scrollWidth, innerWidth]").await;
        let width = |index: usize| widths[index].as_u64().expect("is a number");
        assert!(width(0) <= width(1), "{name} is wider than the screen, {}: {widths}", self.view.name);
        self.keep_picture(name).await;
    }

    /// Keeps a picture of the page beside the build, for a person.
    async fn keep_picture(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("console");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let picture = self.client.screenshot().await.expect("a picture is taken");
        let file = folder.join(format!("{name}-{}.png", self.view.name));
        std::fs::write(file, picture).expect("the picture is written");
    }
}
