//! What hostile callers and a lying server try on who answers: calls that never come up and hold the
//! line, floods of offers to be answered, addresses of others to be asked, and certificates that are not
//! those of the other side.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;

use crate::support::lying_proxy::{self, Lie};
use crate::support::process::{Ended, Peer, PeerBuilder};
use crate::support::server::{Server, login, peer};
use crate::support::sockets::Client;
use crate::support::{PATIENCE, one_at_a_time, sees_more};

const MEDIA: [&str; 4] = ["--bind", "127.0.0.1", "--size", "320x180"];

/// An offer that can be answered, of somebody who is nowhere; each `number` is another connection.
pub(crate) fn offer(to: &str, number: u32, candidates: &str) -> String {
    let fingerprint = vec![format!("{number:02X}"); 32].join(":");
    let section = format!(
        "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:pest{number}\r\n\
         a=ice-pwd:0123456789012345678901234\r\na=setup:actpass\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=sendrecv\r\n{candidates}"
    );
    let sdp = format!(
        "v=0\r\no=- {number} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n{section}\
         m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:1\r\na=rtpmap:102 H264/90000\r\n\
         a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n{section}"
    );
    json!({ "type": "offer", "offer": { "type": "offer", "sdp": sdp }, "name": to }).to_string()
}

/// Another offer of the same connection, which restarts ICE.
pub(crate) fn restarted(to: &str, number: u32, round: u32) -> String {
    let again = offer(to, number, "").replace(":pest", &format!(":r{round}pest"));
    again.replace(&format!("o=- {number} 1 "), &format!("o=- {number} {round} "))
}

/// The next message of one of these kinds.
pub(crate) async fn hears(client: &mut Client, kinds: &[&str]) -> Value {
    loop {
        let text = client.hear().await.expect("a message");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if kinds.iter().any(|kind| message["type"] == *kind) {
            return message;
        }
    }
}

/// Seconds from one event to another, by their times of the same day.
pub(crate) fn seconds(from: &Value, to: &Value) -> f64 {
    let at = |event: &Value| -> f64 {
        let time = event["time"].as_str().expect("a time");
        let clock = time.split('T').nth(1).expect("a time of day").trim_end_matches('Z');
        clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
    };
    (at(to) - at(from)).rem_euclid(86_400.0)
}

/// A server with a bot that answers, and somebody who plagues it.
struct Hall {
    server: Server,
    bot: Peer,
    pest: Client,
    _alone: MutexGuard<'static, ()>,
}

impl Hall {
    async fn open() -> Self {
        let alone = one_at_a_time().await;
        let server = Server::start().await;
        let bot = login(server.url(), "bot", &[&["--auto-answer"][..], &MEDIA].concat()).await;
        let pest = Client::login(server.address(), "pest").await;
        Self { server, bot, pest, _alone: alone }
    }

    /// A call of somebody that nobody plagues.
    fn friend(&self) -> PeerBuilder {
        let call = ["call", "bot", "--as", "friend", "--duration", "1s"];
        peer(self.server.url(), &[&call[..], &MEDIA].concat())
    }
}

#[tokio::test]
async fn a_caller_who_never_comes_through_does_not_hold_the_line() {
    let mut hall = Hall::open().await;
    hall.pest.say(&offer("bot", 1, "")).await;
    hears(&mut hall.pest, &["answer"]).await;
    let accepted = hall.bot.await_event("accepted", PATIENCE).await;
    assert_eq!(hall.friend().run().await.code, Some(4), "busy");
    let ended = hall.bot.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "connection-failed", "{ended}");
    assert!(seconds(&accepted, &ended) < 18.0, "{accepted} {ended}");
    assert_eq!(hears(&mut hall.pest, &["leave"]).await["reason"], "failed");
    for number in 2..5 {
        hall.pest.say(&offer("bot", number, "")).await;
        assert_eq!(hears(&mut hall.pest, &["answer", "leave"]).await["reason"], "busy", "{number}");
    }
    let ended = hall.friend().run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[tokio::test]
async fn nor_does_one_who_begins_anew_again_and_again() {
    let mut hall = Hall::open().await;
    let mut answers = 0;
    for number in 1..8 {
        hall.pest.say(&offer("bot", number, "")).await;
        match hears(&mut hall.pest, &["answer", "leave"]).await["type"].as_str() {
            Some("answer") => answers += 1,
            _ => break,
        }
    }
    assert!((1..6).contains(&answers), "{answers}");
    for _ in 0..answers {
        hall.bot.await_event("ended", PATIENCE).await;
    }
    let friend = hall.friend().run().await;
    assert_eq!(friend.code, Some(0), "{}", friend.said);
}

#[tokio::test]
async fn who_was_told_busy_comes_before_a_pest_of_many_names() {
    let mut hall = Hall::open().await;
    hall.pest.say(&offer("bot", 1, "")).await;
    hears(&mut hall.pest, &["answer"]).await;
    assert_eq!(hall.friend().run().await.code, Some(4), "busy");
    let mut other = Client::login(hall.server.address(), "other").await;
    hall.pest.say(r#"{"type":"leave","name":"bot"}"#).await;
    hall.bot.await_event("ended", PATIENCE).await;
    other.say(&offer("bot", 2, "")).await;
    assert_eq!(hears(&mut other, &["answer", "leave"]).await["reason"], "busy");
    let ended = hall.friend().run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[tokio::test]
async fn who_is_known_comes_before_any_number_of_fresh_names() {
    let mut hall = Hall::open().await;
    // The bot remembers the key of who comes through.
    assert_eq!(hall.friend().run().await.code, Some(0));
    hall.bot.await_event("ended", PATIENCE).await;
    hall.pest.say(&offer("bot", 1, "")).await;
    hears(&mut hall.pest, &["answer"]).await;
    let mut line = Vec::new();
    for number in 0..17 {
        let mut fresh = Client::login(hall.server.address(), &format!("fresh-{number}")).await;
        fresh.say(&offer("bot", 10 + number, "")).await;
        assert_eq!(hears(&mut fresh, &["answer", "leave"]).await["reason"], "busy");
        line.push(fresh);
    }
    assert_eq!(hall.friend().run().await.code, Some(4), "busy");
    hall.pest.say(r#"{"type":"leave","name":"bot"}"#).await;
    hall.bot.await_event("ended", PATIENCE).await;
    for (number, fresh) in (50..).zip(&mut line) {
        fresh.say(&offer("bot", number, "")).await;
        assert_eq!(hears(fresh, &["answer", "leave"]).await["reason"], "busy", "{number}");
    }
    let ended = hall.friend().run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

/// Five from a network each, with so many offers each, whatever becomes of them.
async fn flood(server: &str, offers: u32) {
    let mut floods = JoinSet::new();
    for number in 0..5 {
        let server = server.to_owned();
        floods.spawn(async move {
            let from = format!("127.0.{}.1", 20 + number);
            let mut flood = Client::connect_from(&from, &server).await.expect("a place");
            flood.say(&format!(r#"{{"type":"login","name":"flood-{number}"}}"#)).await;
            for of in 0..offers {
                flood.say(&offer("bot", 100 + of, "")).await;
            }
            // All of it has been taken in when this is answered.
            flood.say(r#"{"type":"that is all"}"#).await;
            while flood.hear().await.is_some_and(|text| !text.contains("that is all")) {}
            flood
        });
    }
    while let Some(flooded) = floods.join_next().await {
        flooded.expect("no flood panics");
    }
}

#[tokio::test]
async fn nobody_is_thrown_off_the_server_by_saying_no_to_others() {
    let mut hall = Hall::open().await;
    assert_eq!(hall.friend().run().await.code, Some(0));
    hall.bot.await_event("ended", PATIENCE).await;
    hall.pest.say(&offer("bot", 1, "")).await;
    hears(&mut hall.pest, &["answer"]).await;
    // A page of somebody else, which says no as fast as it can.
    let mut page = Client::login(hall.server.address(), "page").await;
    let mut callers = Vec::new();
    for number in 0..8 {
        let from = format!("127.0.{}.1", 40 + number);
        let mut caller = Client::connect_from(&from, hall.server.address()).await.expect("a place");
        caller.say(&format!(r#"{{"type":"login","name":"caller-{number}"}}"#)).await;
        for of in 0..60 {
            caller.say(&offer("page", 100 + of, "")).await;
        }
        caller.say(r#"{"type":"that is all"}"#).await;
        while caller.hear().await.is_some_and(|text| !text.contains("that is all")) {}
        callers.push(caller);
    }
    flood(hall.server.address(), 60).await;
    page.say(r#"{"type":"that is all"}"#).await;
    let mut offers = Vec::new();
    loop {
        let text = page.hear().await.expect("the page is still there");
        match serde_json::from_str::<Value>(&text).expect("JSON") {
            said if said["type"] == "offer" => offers.push(said["name"].clone()),
            _ => break,
        }
    }
    assert!((150..=300).contains(&offers.len()), "{}", offers.len());
    for name in &offers {
        page.say(&json!({ "type": "leave", "name": name, "reason": "busy" }).to_string()).await;
    }
    page.say(r#"{"type":"that is all"}"#).await;
    assert!(page.hear().await.is_some_and(|text| text.contains("that is all")), "it is closed");
    // The pest's call ends, and who is known gets through.
    hall.bot.await_event("ended", PATIENCE).await;
    let ended = hall.friend().run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!hall.bot.said().contains("reconnecting"), "{}", hall.bot.said());
}

#[tokio::test]
async fn an_offer_that_comes_again_and_again_is_answered_once_a_second() {
    for restarts in [false, true] {
        let mut hall = Hall::open().await;
        hall.pest.say(&offer("bot", 1, "")).await;
        hears(&mut hall.pest, &["answer"]).await;
        let accepted = hall.bot.await_event("accepted", PATIENCE).await;
        for round in 2..60 {
            let again = if restarts { restarted("bot", 1, round) } else { offer("bot", 1, "") };
            hall.pest.say(&again).await;
        }
        let ended = hall.bot.await_event("ended", PATIENCE).await;
        let mut answers = 0;
        while hears(&mut hall.pest, &["answer", "leave"]).await["type"] == "answer" {
            answers += 1;
        }
        let most = 6.0 + seconds(&accepted, &ended);
        assert!(answers > 0 && f64::from(answers) <= most, "{restarts}: {answers} of {most}");
        assert!(!hall.bot.said().contains("reconnecting"), "{}", hall.bot.said());
    }
}

#[tokio::test]
async fn a_missed_call_is_told_once_and_a_pest_soon_does_not_ring() {
    let server = Server::start().await;
    let mut user = login(server.url(), "user", &MEDIA).await;
    let mut pest = Client::login(server.address(), "pest").await;
    for number in 1..5 {
        pest.say(&offer("user", number, "")).await;
        user.await_event("incoming", PATIENCE).await;
        pest.say(r#"{"type":"leave","name":"user"}"#).await;
        let missed = user.await_event("missed", PATIENCE).await;
        assert_eq!(missed["calls"].as_array().map(Vec::len), Some(1), "{missed}");
    }
    for number in 5..12 {
        pest.say(&offer("user", number, "")).await;
        assert_eq!(hears(&mut pest, &["leave"]).await["reason"], "busy");
    }
    user.type_line("missed");
    let all = user.await_event("missed", PATIENCE).await;
    assert_eq!(all["calls"].as_array().map(Vec::len), Some(4), "{all}");
    let mut friend = Client::login(server.address(), "friend").await;
    friend.say(&offer("user", 1, "")).await;
    assert_eq!(user.await_event("incoming", PATIENCE).await["peer"], "friend");
}

#[tokio::test]
async fn nobody_else_is_flooded_with_checks() {
    let mut hall = Hall::open().await;
    let victims: Vec<_> =
        (0..60).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
    let lines: String = victims
        .iter()
        .map(|victim| victim.local_addr().expect("a port").port())
        .map(|port| format!("a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"))
        .collect();
    hall.pest.say(&offer("bot", 1, &lines)).await;
    let accepted = hall.bot.await_event("accepted", PATIENCE).await;
    let ended = hall.bot.await_event("ended", PATIENCE).await;
    let mut came = vec![0; victims.len()];
    for (victim, count) in victims.iter().zip(&mut came) {
        victim.set_nonblocking(true).expect("a socket");
        while victim.recv(&mut [0; 1500]).is_ok() {
            *count += 1;
        }
    }
    let (all, asked) = (came.iter().sum::<u32>(), came.iter().filter(|count| **count > 0).count());
    // A few at once, then twenty a second.
    let most = 30.0 + 20.0 * seconds(&accepted, &ended);
    assert!(asked > 10 && asked <= 32, "{came:?}");
    assert!(f64::from(all) > 40.0 && f64::from(all) <= most, "{all} of {most}");
}

/// The fingerprint lines of a description, each followed or replaced by something; a liar takes the
/// key out that has signed them.
fn fingerprints(sdp: &str, change: impl Fn(&str) -> String) -> String {
    let lines = sdp.split_inclusive('\n');
    lines
        .filter(|line| !line.starts_with("a=peer-"))
        .map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
            Some(_) => change(line),
            None => line.to_owned(),
        })
        .collect()
}

fn wrong() -> String {
    format!("a=fingerprint:sha-256 {}\r\n", vec!["AB"; 32].join(":"))
}

/// A call over a server that lies to the callee, or else to the caller; how it ended for both.
async fn lied_to(callee: bool, lie: Lie) -> (Value, Value, Ended) {
    let server = Server::start().await;
    let lying = lying_proxy::before(server.url(), lie).await;
    let (to_callee, to_caller) =
        if callee { (&*lying, server.url()) } else { (server.url(), &*lying) };
    let mut bob = login(to_callee, "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice", "--duration", "2s"][..], &MEDIA].concat();
    let alice = peer(to_caller, &words).run().await;
    let incoming = bob.await_event("incoming", PATIENCE).await;
    let ended = bob.await_event("ended", PATIENCE).await;
    (incoming, ended, alice)
}

const IMPOSTOR: &str = "the other side is not who the signaling server says it is";

#[tokio::test]
async fn another_certificate_than_the_described_one_ends_the_call_at_once_on_both_sides() {
    let _alone = one_at_a_time().await;
    for callee in [true, false] {
        let (incoming, ended, alice) = lied_to(callee, |sdp| fingerprints(sdp, |_| wrong())).await;
        assert_eq!(ended["reason"], "connection-failed", "{ended}");
        assert!(
            ended["message"].as_str().is_some_and(|words| words.ends_with(IMPOSTOR)),
            "{ended}"
        );
        assert_eq!(ended["summary"]["inbound"]["video"]["framesDecoded"].as_u64().unwrap_or(0), 0);
        assert_eq!(alice.code, Some(6), "{}", alice.said);
        assert!(alice.said.contains(IMPOSTOR), "{}", alice.said);
        assert!(seconds(&incoming, &ended) < 8.0, "{incoming} {ended}");
    }
}

#[tokio::test]
async fn a_description_without_a_use_for_its_fingerprint_is_refused_at_once() {
    let _alone = one_at_a_time().await;
    let lies: [Lie; 3] = [
        |sdp| fingerprints(sdp, |_| String::new()),
        |sdp| fingerprints(sdp, |_| "a=fingerprint:sha-1 01:02\r\n".to_owned()),
        |sdp| fingerprints(sdp, |line| line[..40].to_owned() + "\r\n"),
    ];
    for (lie, callee) in lies.into_iter().flat_map(|lie| [(lie, true), (lie, false)]) {
        let (incoming, ended, alice) = lied_to(callee, lie).await;
        assert_eq!((&ended["reason"], alice.code), (&"connection-failed".into(), Some(6)));
        let said = format!("{ended}{}", alice.said);
        assert!(said.contains("fingerprint"), "{said}");
        assert!(seconds(&incoming, &ended) < 8.0, "{incoming} {ended}");
    }
}

#[tokio::test]
async fn a_good_fingerprint_connects_wherever_it_stands() {
    let _alone = one_at_a_time().await;
    let lies: [Lie; 4] = [
        |sdp| fingerprints(sdp, |line| wrong() + line),
        |sdp| fingerprints(sdp, |line| line.to_owned() + &*wrong()),
        |sdp| fingerprints(sdp, |line| "a=fingerprint:sha-1 01:02\r\n".to_owned() + line),
        |sdp| fingerprints(sdp, |line| line.replace("sha-256", "SHA-256")),
    ];
    for (lie, callee) in lies.into_iter().flat_map(|lie| [(lie, true), (lie, false)]) {
        let (_, ended, alice) = lied_to(callee, lie).await;
        assert_eq!(alice.code, Some(0), "{} {ended}", alice.said);
        assert!(
            ended["summary"]["inbound"]["video"]["framesDecoded"].as_u64() > Some(0),
            "{ended}"
        );
    }
}

#[tokio::test]
async fn a_call_goes_on_while_others_try() {
    let mut hall = Hall::open().await;
    let words = [&["call", "bot", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(hall.server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    sees_more(&mut alice, 5).await;
    let mut pace = tokio::time::interval(Duration::from_millis(25));
    for number in 0..40 {
        pace.tick().await;
        hall.pest.say(&offer("bot", number, "")).await;
        let reply = hears(&mut hall.pest, &["answer", "leave", "error"]).await;
        assert_ne!(reply["type"], "answer", "{reply}");
        // Who has sent an offer may say the rest too; it is about no call of theirs.
        for more in [
            r#"{"type":"answer","answer":{"sdp":"v=0"},"name":"bot"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"x"},"name":"bot"}"#,
            r#"{"type":"leave","name":"bot","reason":"impostor"}"#,
        ] {
            hall.pest.say(more).await;
        }
    }
    let last = hall.bot.next_event("stats", PATIENCE).await;
    assert!(last["inbound"]["video"]["framesPerSecond"].as_f64() > Some(20.0), "{last}");
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}
