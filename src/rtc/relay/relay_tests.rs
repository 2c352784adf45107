//! The servers of a connection as the library sees them.

use super::*;

fn server(urls: &[&str]) -> IceServer {
    IceServer {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        username: Some("u".into()),
        credential: Some("p".into()),
    }
}

fn relays(servers: &[IceServer]) -> (Arc<Relays>, mpsc::Receiver<ConnectionEvent>) {
    let (news, events) = mpsc::channel(8);
    (Arc::new(Relays::new(servers, Trust::System, news, Arc::default())), events)
}

/// The stand-ins of a URL that the library is given, as it asks for them.
fn stand_ins(relays: &Relays, url: &str) -> Vec<SocketAddr> {
    relays.stand_ins(url.split_once(':').unwrap().1).unwrap()
}

#[test]
fn the_library_sees_datagrams_to_stand_ins_and_nothing_that_it_would_stumble_over() {
    let urls = ["stun:a.example", "turn:a.example", "turns:[2001:db8::1]:443?transport=tcp"];
    let bad = ["stuns:a.example", "http:x", "turn:a.example?transport=x"];
    let without = IceServer { urls: vec!["turn:b.example".into()], ..IceServer::default() };
    let (relays, _events) = relays(&[server(&bad), server(&urls), without]);
    let seen: Vec<_> = relays.urls().into_iter().map(|(url, _)| url).collect();
    let wanted = [
        "stun:server-3-0.invalid:3478",
        "turn:server-4-0.invalid:3478",
        "turn:server-5-0.invalid:443",
    ];
    assert_eq!(seen, wanted);
    let [stun, turn, tls] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(stand_ins(&relays, stun), stand_ins(&relays, turn), "one place, one address");
    assert_ne!(stand_ins(&relays, turn), stand_ins(&relays, tls));
    for address in stand_ins(&relays, tls) {
        assert_eq!(relays.target_at(address).unwrap().0, 5);
    }
    for host in ["a.example:3478", "server-9-0.invalid:1", "server-x.invalid:1", ".invalid"] {
        assert_eq!(relays.stand_ins(host), None, "{host}");
    }
    let faults = relays.reports().into_iter().filter(|r| matches!(r.answer, Answer::Fault(_)));
    assert_eq!(faults.count(), 4);
}

#[test]
fn addresses_of_others_are_nobodys_stand_in() {
    let (relays, _events) = relays(&[server(&["turn:a.example"])]);
    for text in ["0.0.0.0:1", "0.0.0.2:1", "192.0.2.1:1", "[::]:1", "[100::]:1", "[100::2]:1"] {
        assert!(relays.target_at(text.parse().unwrap()).is_none(), "{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_at_once() {
    let without = IceServer { urls: vec!["turn:b.example".into()], ..IceServer::default() };
    let (relays, mut events) = relays(&[without]);
    relays.look_up();
    let Some(ConnectionEvent::NoRelay(servers)) = events.recv().await else { panic!("not told") };
    assert_eq!(servers.len(), 1);
    assert!(servers[0].1.to_string().contains("password"), "{}", servers[0].1);
}

#[tokio::test]
async fn a_name_without_address_is_told() {
    let (relays, mut events) = relays(&[server(&["turn:nowhere.invalid"])]);
    relays.look_up();
    let Some(ConnectionEvent::NoRelay(servers)) = events.recv().await else { panic!("not told") };
    assert!(matches!(servers[0].1, ServerFault::Unknown { .. }), "{:?}", servers[0].1);
    let before = relays.urls()[0].0.clone();
    assert!(relays.renew(), "another network may know it");
    assert_ne!(relays.urls()[0].0, before);
}
