//! What names and addresses of hosts may be.

use std::net::{IpAddr, Ipv6Addr};

use super::{Checked, MAX_LABEL, port, user};
use crate::faults::Problem;
use crate::model::{Address, Jump};

/// The longest name of a host that can be looked up.
const MAX_NAME: usize = 253;

/// A host's name.
pub(crate) fn host_name(text: &str) -> Checked<String> {
    let wrong = |message: &str| {
        Err(Problem::new(message, "names of hosts have letters, digits and `-`, with dots between parts"))
    };
    if text.is_empty() || text.len() > MAX_NAME {
        return wrong("is no name of a host: 1 to 253 characters are possible");
    }
    if let Some(character) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.')) {
        return wrong(&format!("is no name of a host, since it has {}", spoken(character)));
    }
    for label in text.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL || label.starts_with('-') || label.ends_with('-') {
            return wrong(
                "is no name of a host: no part is empty, has more than 63 characters, or begins or ends with `-`",
            );
        }
    }
    Ok(text.to_ascii_lowercase())
}

/// A character in the words of a message.
fn spoken(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\n' => "a line's end".to_owned(),
        '\t' => "a tab".to_owned(),
        '_' => "an underscore".to_owned(),
        other => format!("a `{other}`"),
    }
}

/// An IP address or a name.
pub(crate) fn address(text: &str) -> Checked<Address> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255, 255, 255, 255]) {
            return Err(Problem::new("is no address of a single host", "write the host's own address"));
        }
        return Ok(Address::Ip(ip));
    }
    if text.split_once('%').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()) {
        return Err(Problem::new(
            "has a zone, which means something on this machine alone",
            "write an address that holds on every host, without `%`",
        ));
    }
    if text.contains('/') {
        return Err(Problem::new(
            "is no address of a host",
            "write it without `/`; a range is written like `192.0.2.[21:40]`",
        ));
    }
    if let Some((_, port)) = text.rsplit_once(':').filter(|(host, _)| !host.contains(':')) {
        return Err(Problem::new(
            "is no address of a host: it has a port",
            format!("write the port as `port: {port}`"),
        ));
    }
    if text.contains(':') {
        return Err(Problem::new("is no IPv6 address", "write it like `2001:db8::1`"));
    }
    let name = host_name(text).map_err(|problem| Problem {
        message: problem.message.replace("no name of a host", "neither an IP address nor a name of a host"),
        ..problem
    })?;
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new(
            "is no IPv4 address",
            "write four numbers from 0 to 255, like `192.0.2.11`",
        ));
    }
    Ok(Address::Name(name))
}

/// `[user@]host[:port]`, an IPv6 address with a port in brackets.
pub(crate) fn jump(text: &str) -> Checked<Jump> {
    let form = "write `[user@]host[:port]`, like `ops@bastion.example.org:22`; an IPv6 address with a port in brackets";
    let wrong =
        |problem: Problem| Problem::new(format!("is no jump host: what is in it {}", problem.message), form);
    let (name, rest) = match text.rsplit_once('@') {
        Some((name, rest)) => (Some(user(name).map_err(wrong)?), rest),
        None => (None, text),
    };
    let no_port = || Problem::new("is no jump host: its port is none", form);
    let (host, number) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, behind))) => (host, Some(behind.strip_prefix(':').ok_or_else(no_port)?)),
        Some(None) => return Err(Problem::new("is no jump host: a bracket is not closed", form)),
        None if rest.matches(':').count() == 1 => {
            rest.split_once(':').map_or((rest, None), |(host, number)| (host, Some(number)))
        }
        None => (rest, None),
    };
    let host = address(host).map_err(wrong)?;
    let port = number.map(|number| port(number).map_err(wrong)).transpose()?;
    Ok(Jump { user: name, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ip_addresses_or_names() {
        for (text, shown) in [
            ("192.0.2.11", "192.0.2.11"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("Node-1.Example.org", "node-1.example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("1e3", "1e3"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, says) in [
            ("", "1 to 253"),
            ("192.0.2.256", "no IPv4"),
            ("08", "no IPv4"),
            ("192.0.2", "no IPv4"),
            ("fe80::1%eth0", "zone"),
            ("0.0.0.0", "single host"),
            ("224.0.0.1", "single host"),
            ("192.0.2.0/24", "no address"),
            ("m1:22", "port"),
            ("2001:db8::g", "no IPv6"),
            ("a b", "a space"),
            ("a\nb", "a line's end"),
            ("$(reboot)", "a `$`"),
            ("-oProxyCommand=x", "a `=`"),
            ("-a", "begins or ends"),
            ("a..b", "no part is empty"),
            ("ünter", "a `ü`"),
        ] {
            let message = address(text).unwrap_err().message;
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn jump_hosts_are_read() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        for (text, user, host, port) in [
            ("bastion", None, Address::Name("bastion".into()), None),
            (
                "ops@bastion.example.org:2222",
                Some("ops"),
                Address::Name("bastion.example.org".into()),
                Some(2222),
            ),
            ("2001:db8::1", None, ip("2001:db8::1"), None),
            ("ops@[2001:db8::1]:22", Some("ops"), ip("2001:db8::1"), Some(22)),
            ("[2001:db8::1]", None, ip("2001:db8::1"), None),
        ] {
            let expected = Jump { user: user.map(str::to_owned), host, port };
            assert_eq!(jump(text), Ok(expected), "{text}");
        }
        for text in ["", "@b", "a@", "b:0", "b:x", "[::1", "[::1]22", "a b", "-oX=y@b", "a,b"] {
            assert!(jump(text).is_err(), "{text}");
        }
    }
}
