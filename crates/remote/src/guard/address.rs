//! Which addresses are no registry's, however they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reason;

/// AWS, GCP, Azure and most others; Alibaba; Azure's wire server; Oracle.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS, GCP.
const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// `address` and every IPv4 address that some network would take it for: IPv4-mapped and -compatible (RFC 4291, 2.5.5),
/// translated (RFC 2765), NAT64 (RFC 6052, 2.1 and 2.2; RFC 8215), 6to4 (RFC 3056).
pub(super) fn faces(address: IpAddr) -> Vec<IpAddr> {
    let mut faces = vec![address];
    let IpAddr::V6(v6) = address else {
        return faces;
    };
    let bytes = v6.octets();
    let mut add = |at: [usize; 4]| faces.push(Ipv4Addr::from(at.map(|at| bytes[at])).into());
    const LAST: [usize; 4] = [12, 13, 14, 15];
    match v6.segments() {
        // :: and ::1 are IPv6 addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {}
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => add(LAST),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => add(LAST),
        // A prefix for networks' own use, within which they choose the length.
        [0x64, 0xff9b, 1, ..] => {
            for at in [LAST, [6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]] {
                // Only one of them is meant; what begins with zeros is none of them.
                if bytes[at[0]] != 0 {
                    add(at);
                }
            }
        }
        [0x2002, ..] => add([2, 3, 4, 5]),
        _ => {}
    }
    faces
}

/// What speaks against `address` as it stands.
pub(super) fn reason(address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Some(Reason::Metadata),
        IpAddr::V4(v4) if v4.is_loopback() => Some(Reason::Loopback),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(Reason::Unspecified),
        IpAddr::V4(v4) if v4.is_link_local() => Some(Reason::LinkLocal),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some(Reason::Multicast),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Some(Reason::Metadata),
        IpAddr::V6(v6) if v6.is_loopback() => Some(Reason::Loopback),
        IpAddr::V6(v6) if v6.is_unspecified() => Some(Reason::Unspecified),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(Reason::LinkLocal),
        IpAddr::V6(v6) if v6.is_multicast() => Some(Reason::Multicast),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first face that is forbidden says.
    fn first(text: &str) -> Option<Reason> {
        let address = text.parse().expect("the address is well formed");
        faces(address).into_iter().find_map(reason)
    }

    #[test]
    fn addresses_that_are_no_registrys_are_known() {
        for (text, expected) in [
            ("127.0.0.1", Reason::Loopback),
            ("127.255.1.2", Reason::Loopback),
            ("::1", Reason::Loopback),
            ("0.0.0.0", Reason::Unspecified),
            ("0.1.2.3", Reason::Unspecified),
            ("::", Reason::Unspecified),
            ("169.254.1.1", Reason::LinkLocal),
            ("fe80::1", Reason::LinkLocal),
            ("febf::1", Reason::LinkLocal),
            ("224.0.0.1", Reason::Multicast),
            ("255.255.255.255", Reason::Multicast),
            ("ff02::1", Reason::Multicast),
            ("169.254.169.254", Reason::Metadata),
            ("100.100.100.200", Reason::Metadata),
            ("168.63.129.16", Reason::Metadata),
            ("fd00:ec2::254", Reason::Metadata),
        ] {
            assert_eq!(first(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_fine() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.253.255.255",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::192.168.1.1",
            "64:ff9b:1:c0a8:1:100::",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_counts() {
        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::127.0.0.1",
            // RFC 6052, 2.2: prefixes of 48, 56 and 64 bits.
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:7f:0:1::",
            "64:ff9b:1:0:7f:0:100:0",
            "2002:7f00:1::",
        ] {
            assert_eq!(first(text), Some(Reason::Loopback), "{text}");
        }
        assert_eq!(first("::ffff:a9fe:a9fe"), Some(Reason::Metadata));
    }
}
