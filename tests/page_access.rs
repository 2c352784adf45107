//! The page for everybody: by keyboard alone, on a phone and on a desk, in light and dark, with
//! colours that can be read and a name for everything that can be worked.

use serde_json::{Value, json};
use thirtyfour::Key;

use crate::support::chromium::Browser;
use crate::support::page::Page;
use crate::support::server::{Server, login};
use crate::support::sockets::Client;
use crate::support::{PATIENCE, one_at_a_time};

async fn is_pressed(page: &Page, id: &str) -> bool {
    let script =
        format!("return document.getElementById('{id}').getAttribute('aria-pressed') === 'true'");
    page.browser.evaluate(&script).await == true
}

/// Tabs on until this has the focus, and says what had it on the way.
async fn tab_to(page: &Page, id: &str) -> Vec<String> {
    let mut way = Vec::new();
    while way.len() < 20 {
        page.browser.press(Key::Tab).await;
        way.push(page.browser.focused().await);
        if way.last().is_some_and(|last| last == id) {
            return way;
        }
    }
    panic!("{id} is not reached by Tab: {way:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_by_keyboard() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::open(Browser::start().await, server.page()).await;
    page.wait_for_focus("name").await;
    page.browser.type_text("page\u{e007}").await;
    page.wait_for_focus("callee").await;
    page.browser.type_text("bob\u{e007}").await;
    page.wait_for_pictures().await;

    page.wait_for_focus("mute").await;
    page.browser.press(Key::Space).await;
    assert!(is_pressed(&page, "mute").await);
    assert_eq!(tab_to(&page, "camera").await.len(), 1);
    page.browser.press(Key::Space).await;
    assert!(is_pressed(&page, "camera").await);
    let is_dark = "return document.getElementById('local').srcObject === null";
    page.browser.wait_until("we do not see ourselves", is_dark).await;
    assert_eq!(tab_to(&page, "hangup").await, ["settings", "hangup"]);

    // Letters do the same from anywhere.
    page.browser.type_text("mv").await;
    assert!(!is_pressed(&page, "mute").await && !is_pressed(&page, "camera").await);
    let sent = page.browser.call().await.outbound_video.frames_encoded;
    page.browser
        .wait_for_call("pictures again", |call| call.outbound_video.frames_encoded > sent + 10)
        .await;
    page.browser.press(Key::Enter).await;
    page.wait_for_status("You hung up").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    page.wait_for_focus("callee").await;

    bob.type_line("call page");
    page.wait_for_focus("answer").await;
    page.browser.press(Key::Enter).await;
    page.wait_for_pictures().await;
    page.browser.type_text("h").await;
    page.wait_for_status("You hung up").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    // Who types a name is not disturbed by a call, nor the call by the name.
    page.wait_for_focus("callee").await;
    page.browser.type_text("h").await;
    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    page.browser.type_text("mv\u{e007}").await;
    page.wait_for_status("'bob' is calling").await;
    let typed = page.browser.evaluate("return document.getElementById('callee').value").await;
    assert_eq!(typed, "hmv");
    page.browser.evaluate("document.activeElement.blur()").await;
    page.browser.press(Key::Escape).await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "rejected");
}

/// What is too faint, nameless or out of sight on the page as it is.
const FAULTS: &str = "
    const faults = [];
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
            if (a > 0.99) return [r, g, b];
        }
        return [255, 255, 255];
    };
    for (const element of document.querySelectorAll('body *')) {
        if (!element.checkVisibility({ visibilityProperty: true })) continue;
        const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        if (own && !element.matches(':disabled, option')) {
            const style = getComputedStyle(element);
            const [one, two] = [light(numbers(style.color)), light(behind(element))];
            const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
            if (contrast < 4.5) faults.push(`${element.id || element.tagName}: ${contrast}`);
        }
        if (element.matches('input, select, button, summary, video')) {
            const named = element.labels?.length || element.ariaLabel || element.innerText?.trim();
            if (!named) faults.push(`${element.id}: no name`);
            const { left, right } = element.getBoundingClientRect();
            if (left < 0 || right > innerWidth) faults.push(`${element.id}: out of sight`);
        }
    }
    if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the screen');
    if (document.body.dataset.view === 'call') {
        for (const button of document.querySelectorAll('#controls button')) {
            const { bottom, width, height } = button.getBoundingClientRect();
            if (bottom > innerHeight) faults.push(`${button.id}: below the screen`);
            if (Math.min(width, height) < 44) faults.push(`${button.id}: too small for a finger`);
        }
        const { height } = document.getElementById('stage').getBoundingClientRect();
        if (height < innerHeight / 2) faults.push('the picture is small');
    }
    return faults;";

/// Looks at the page on every screen and in both lights.
async fn judge(page: &Page, what: &str) {
    for size in [(360, 640), (390, 844), (1280, 800)] {
        for scheme in ["light", "dark"] {
            page.browser.look(size, scheme).await;
            let name = format!("{what}-{}-{scheme}", size.1);
            page.browser.screenshot(&name).await;
            assert_eq!(page.browser.evaluate(FAULTS).await, json!([]), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_read_on_every_screen_in_light_and_dark() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::open(Browser::start().await, server.page()).await;
    judge(&page, "welcome").await;
    page.ask_for("page").await;
    page.wait_for_status("Online as 'page'").await;
    page.call("nobody").await;
    page.wait_for_status("'nobody' is not online").await;
    judge(&page, "home").await;
    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    judge(&page, "ringing").await;
    page.browser.click("#answer").await;
    page.wait_for_pictures().await;
    page.browser.click("#mute").await;
    let measured =
        "return /fps.*bit.s.*RTT.*loss/.test(document.getElementById('quality').textContent)";
    page.browser.wait_until("the numbers that matter are there", measured).await;
    judge(&page, "call").await;
    page.browser.click("#settings").await;
    judge(&page, "devices").await;
    page.browser.click("#done").await;
    page.browser.click("#numbers summary").await;
    let table = "return document.querySelectorAll('#readings tr').length === 10";
    page.browser.wait_until("all numbers are there", table).await;
    page.browser.click("#hangup").await;
    page.wait_for_status("You hung up").await;
    judge(&page, "after").await;
    assert_eq!(page.browser.violations().await, json!([]));
}

/// What the page knows without a browser's help, in the only place that runs it.
const PURE: &str = "
    const { readLink, linkTo } = await import('/link.js');
    const words = await import('/words.js');
    const { read } = await import('/stats.js');
    const { comesFirst } = await import('/call.js');
    const { Listed, Offers, Refusals } = await import('/pace.js');
    const [offers, refusals, listed] = [new Offers(), new Refusals(), new Listed()];
    const sixty = [...Array(60).keys()];
    const looked = sixty.filter((n) => offers.admit({ type: 'offer', n }, 0)).length;
    offers.admit({ type: 'candidate', n: 'behind it' }, 10);
    const turn = [offers.release(900).length, offers.release(1001).map(({ n }) => n), offers.due(1001)];
    const no = (n, name = 'pest') => refusals.put({ n, name });
    const said = (now) => refusals.poll(now)?.n ?? null;
    sixty.forEach((n) => no(n));
    const noes = [said(0), said(0)];
    sixty.forEach((n) => no(-n));
    noes.push(said(0), refusals.due(0), said(101));
    no('not true any more');
    refusals.forget('pest');
    noes.push(said(500));
    for (let n = 0; n < 300; n += 1) no('busy', `pest ${n}`);
    noes.push([...Array(300)].filter(() => said(5000)).length, [...Array(300)].filter(() => said(6000)).length);
    const once = [0, 10, 59_999, 60_000].map((now) => listed.again('pest', now));
    const entry = (more) => ['in', { id: 'in', type: 'inbound-rtp', kind: 'video', codecId: 'c',
        frameWidth: 640, frameHeight: 360, framesPerSecond: 30, ...more }];
    const rest = [['c', { id: 'c', type: 'codec', mimeType: 'video/H264' }],
        ['t', { id: 't', type: 'transport', selectedCandidatePairId: 'p' }],
        ['p', { id: 'p', type: 'candidate-pair', currentRoundTripTime: 0.02, localCandidateId: 'l' }],
        ['l', { id: 'l', type: 'local-candidate', candidateType: 'relay', relayProtocol: 'udp' }]];
    const at = (more) => new Map([entry(more), ...rest]);
    const first = read(at({ timestamp: 1000, bytesReceived: 0, packetsReceived: 0,
        jitterBufferDelay: 1, jitterBufferEmittedCount: 10 }), null);
    const later = read(at({ timestamp: 3000, bytesReceived: 250_000, packetsReceived: 90,
        packetsLost: 10, framesDecoded: 60, jitterBufferDelay: 4, jitterBufferEmittedCount: 70 }), first);
    const { bitrate, loss, codec, frames, buffer } = later.received.video;
    return {
        links: ['#call=alice&as=bob', '#call=%C3%A9%20x', '', '#call=', `#call=${'x'.repeat(65)}`]
            .map(readLink).map(({ call, as }) => [call, as]),
        link: linkTo('é&x', { origin: 'https://h', pathname: '/' }),
        first: first.received.video.bitrate ?? null,
        later: [bitrate, loss, codec, frames, buffer, later.rtt, later.path, later.protocol],
        texts: [words.duration(83), words.duration(3725), words.bitrate(1_840_000),
            words.bitrate(64_000), words.percent(0), words.percent(0.012), words.percent(undefined)],
        relay: [words.noPath('bob', []), words.noPath('bob', [{ urls: ['turn:x'] }])]
            .map((text) => text.includes('needs a TURN relay')),
        glare: [comesFirst('a', 'b'), comesFirst('b', 'a'), comesFirst('a', 'aa'), comesFirst('z', 'é')],
        looked, turn, noes, once,
    };";

/// All sentences of the page about somebody whose name could be taken for a word; those in which it
/// stands without quotes.
const NAMES: &str = "
    const words = await import('/words.js');
    const { statusOf } = await import('/screen.js');
    const who = 'nobody';
    const codes = ['token-needed', 'wrong-token', 'too-many-tries', 'bad-name', 'unreachable', 'x'];
    const reasons = ['busy', 'timeout', 'gone', 'media', 'failed', 'impostor', 'rejected', 'hangup'];
    const stages = ['asking', 'calling', 'ringing', 'connecting', 'reconnecting', 'connected'];
    const texts = [
        ...codes.map((code) => words.loginRefused(code, who, 'ws://h', 'no')),
        ...stages.flatMap((stage) => reasons.map((reason) => words.theyLeft(who, stage, reason))),
        words.impostor(who), words.noAnswer(who, true), words.noAnswer(who, false),
        words.notOnline(who), words.noPath(who, []), words.noPath(who, [{ urls: 'turn:x' }]),
        words.pathLost(who), words.withoutDevices({ audio: 'x', video: 'x' }, who),
        words.withoutDevices({ video: 'x' }, who), words.withoutDevices({ audio: 'x' }, who),
        ...stages.flatMap((stage) => ['online', 'away'].map((server) =>
            statusOf({ me: who, server, call: { stage, who } }, { text: '' }).text)),
        statusOf({ me: who, server: 'online', call: null }, { text: '' }).text,
    ];
    const said = texts.filter((text) => text.includes(who)).length;
    const bare = texts.filter((text) => text.replaceAll(`'${who}'`, '').includes(who));
    return { bare, all: said > 60 };";

#[tokio::test(flavor = "multi_thread")]
async fn names_are_in_quotes_in_every_sentence_of_the_page() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let page = Page::log_in(server.page(), "page").await;
    let found: Value = page.browser.evaluate_async(NAMES).await;
    assert_eq!(found, json!({ "bare": [], "all": true }));
    assert_eq!(page.browser.text("#logout").await, "Log out 'page'");
    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    assert_eq!(page.browser.text("#caller").await, "'bob'");
    bob.type_line("hangup");
    page.wait_for_status("You missed a call from 'bob'").await;
    // A name is text, wherever it stands.
    let script = "<svg/onload=alert(1)>";
    let mut mal = Client::login(server.address(), script).await;
    mal.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"page"}"#).await;
    page.wait_for_status(&format!("'{script}' is calling")).await;
    assert_eq!(page.browser.text("#caller").await, format!("'{script}'"));
    mal.say(r#"{"type":"leave","name":"page","reason":"<b>x</b>"}"#).await;
    page.wait_for_status(&format!("You missed a call from '{script}'")).await;
    let drawn = "return document.querySelectorAll('svg[onload]').length";
    assert_eq!(page.browser.evaluate(drawn).await, 0);
    assert!(page.history().await[0].starts_with(script), "{:?}", page.history().await);
    assert_eq!(page.browser.violations().await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_numbers_and_words_are_right() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let browser = Browser::start().await;
    browser.open(server.page()).await;
    let found: Value = browser.evaluate_async(PURE).await;
    let wanted = json!({
        "links": [["alice", "bob"], ["é x", null], [null, null], [null, null], [null, null]],
        "link": "https://h/#call=%C3%A9%26x",
        "first": null,
        "later": [1_000_000, 0.1, "H264", 60, 0.05, 0.02, "relayed", "udp"],
        "texts": ["1:23", "1:02:05", "1.8 Mbit/s", "64 kbit/s", "0 %", "1.2 %", "–"],
        "relay": [true, false],
        "glare": [true, false, true, true],
        "looked": 5,
        "turn": [0, [59, "behind it"], null],
        "noes": [59, null, null, 100, -59, null, 30, 10],
        "once": [true, false, false, true],
    });
    assert_eq!(found, wanted);
}
