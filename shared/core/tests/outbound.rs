//! Whom calls to others may go to.

mod hostile;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use souk_core::outbound::{OutboundError, is_public, target};

#[test]
fn no_hostile_url_is_a_target() {
    let urls = hostile::urls(8080);
    assert!(urls.len() >= 200, "{}", urls.len());
    let allow = ["receiver.test:8080".to_owned()];
    for url in urls {
        let refused = target(&url, &allow);
        assert!(
            matches!(refused, Err(OutboundError::Refused(_))),
            "{url:?}: {refused:?}"
        );
    }
    let long = format!("https://hooks.souk.example/{}", "x".repeat(2000));
    assert!(target(&long, &allow).is_err());
}

#[test]
fn what_is_a_target_is_read_as_everyone_reads_it() {
    for (url, host, port, path) in [
        ("https://hooks.souk.example", "hooks.souk.example", 443, "/"),
        (
            "HTTPS://Hooks.Souk.Example:8443/In?a=b&c=%20",
            "hooks.souk.example",
            8443,
            "/In?a=b&c=%20",
        ),
        ("https://hooks.souk.example?x", "hooks.souk.example", 443, "/?x"),
        (
            "https://xn--bcher-kva.example/@me:1",
            "xn--bcher-kva.example",
            443,
            "/@me:1",
        ),
        ("https://4.hooks.example/a//b", "4.hooks.example", 443, "/a//b"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/"),
        ("https://[2606:4700::1111]:444/", "[2606:4700::1111]", 444, "/"),
        ("https://[64:ff9b::101:101]/", "[64:ff9b::101:101]", 443, "/"),
    ] {
        let target = target(url, &[]).unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.path.as_str()),
            (host, port, path),
            "{url}"
        );
        assert!(target.https && !target.trusted);
        assert_eq!(
            target.address.is_some(),
            host.parse::<IpAddr>().is_ok() || host.starts_with('[')
        );
        let other = url::Url::parse(url).unwrap();
        assert_eq!(
            (other.host_str(), other.port_or_known_default()),
            (Some(host), Some(port)),
            "{url}"
        );
    }
}

#[test]
fn the_operator_may_allow_a_host_and_port_by_name() {
    let allow = ["127.0.0.1:9000", "receiver:9000", "[::1]:9000"].map(str::to_owned);
    for url in ["http://127.0.0.1:9000/x", "https://RECEIVER:9000", "http://[::1]:9000/"] {
        assert!(target(url, &allow).unwrap().trusted, "{url}");
    }
    for url in [
        "http://127.0.0.1:9001/",
        "http://127.0.0.1/",
        "http://127.0.0.2:9000/",
        "https://receiver/",
        "http://2130706433:9000/",
        "http://user@127.0.0.1:9000/",
        "ftp://127.0.0.1:9000/",
    ] {
        assert!(target(url, &allow).is_err(), "{url}");
    }
}

/// The first and the last address of what is not public, and their neighbours, where those are.
#[test]
fn the_edges_of_what_is_public() {
    for (first, last, neighbours) in [
        ("0.0.0.0", "0.255.255.255", "1.0.0.0"),
        ("10.0.0.0", "10.255.255.255", "9.255.255.255 11.0.0.0"),
        ("100.64.0.0", "100.127.255.255", "100.63.255.255 100.128.0.0"),
        ("127.0.0.0", "127.255.255.255", "126.255.255.255 128.0.0.0"),
        ("168.63.129.16", "168.63.129.16", "168.63.129.15 168.63.129.17"),
        ("169.254.0.0", "169.254.255.255", "169.253.255.255 169.255.0.0"),
        ("172.16.0.0", "172.31.255.255", "172.15.255.255 172.32.0.0"),
        ("192.0.0.0", "192.0.0.255", "191.255.255.255 192.0.1.0"),
        ("192.0.2.0", "192.0.2.255", "192.0.1.255 192.0.3.0"),
        ("192.168.0.0", "192.168.255.255", "192.167.255.255 192.169.0.0"),
        ("198.18.0.0", "198.19.255.255", "198.17.255.255 198.20.0.0"),
        ("198.51.100.0", "198.51.100.255", "198.51.99.255 198.51.101.0"),
        ("203.0.113.0", "203.0.113.255", "203.0.112.255 203.0.114.0"),
        ("224.0.0.0", "255.255.255.255", "223.255.255.255"),
        ("::", "1fff:ffff::", "2000::"),
        ("2001::", "2001:1ff:ffff::", "2000:ffff:: 2001:200::"),
        ("2001:db8::", "2001:db8:ffff::", "2001:db7:ffff:: 2001:db9::"),
        ("2002::", "2002:ffff::", "2001:ffff:: 2003::"),
        ("3fff::", "3fff:fff:ffff::", "3ffe:ffff:: 3fff:1000::"),
        ("4000::", "ffff:ffff::", "3fff:ffff::"),
        ("64:ff9b::", "64:ff9b::ff:ffff", "64:ff9b::100:0"),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ""),
    ] {
        for inside in [first, last] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in neighbours.split_whitespace() {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}

/// Whatever the standard library knows to be private is not public, and no IPv6 address smuggles an IPv4 one in.
#[test]
fn the_standard_library_agrees() {
    // Every 65,537th address, which meets every first and second byte.
    for bits in (0..=u32::MAX).step_by(65_537) {
        let ip = Ipv4Addr::from_bits(bits);
        let special = ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_broadcast()
            || ip.is_documentation()
            || ip.is_unspecified();
        assert!(!(special && is_public(ip.into())), "{ip}");
        assert!(
            !is_public(ip.to_ipv6_mapped().into()) && !is_public(ip.to_ipv6_compatible().into()),
            "{ip}"
        );
        let nat64 = Ipv6Addr::from_bits(0x64_ff9b_u128 << 96 | u128::from(bits));
        assert_eq!(is_public(nat64.into()), is_public(ip.into()), "{ip}");
    }
}
