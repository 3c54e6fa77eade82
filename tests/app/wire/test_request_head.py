"""Heads of requests: one meaning, or a refusal that says what is wrong."""

import pytest

from app.errors import (
    HeadersTooLarge,
    MalformedRequest,
    ServiceError,
    TargetTooLong,
    UnsupportedVersion,
)
from app.wire.request_head import (
    MAX_HEAD_BYTES,
    Head,
    path_of,
    read_head,
    split_absolute,
)

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


def test_a_head_has_what_the_request_says() -> None:
    data = GET + b"X-A:  b c\t \r\nExpect: 100-Continue\r\nContent-Length: 007\r\n\r\n"
    head = read_head(data + b"{}")
    headers = [
        (b"host", b"x"),
        (b"x-a", b"b c"),
        (b"expect", b"100-Continue"),
        (b"content-length", b"007"),
    ]
    assert head == Head(
        size=len(data),
        target=b"/livez",
        scope={
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/livez",
            "raw_path": b"/livez",
            "query_string": b"",
            "headers": headers,
        },
        values=dict(headers),
        length=7,
        chunked=False,
        keep_alive=True,
        expects_continue=True,
    )


@pytest.mark.parametrize(
    ("lines", "version", "kept"),
    [
        (b"", b"1.1", True),
        (b"Connection: keep-alive\r\n", b"1.1", True),
        (b"Connection: enclosed\r\n", b"1.1", True),
        (b"Connection: x, CLOSE\r\n", b"1.1", False),
        (b"Connection: close\r\nConnection: x\r\n", b"1.1", False),
        (b"Connection: keep-alive\r\n", b"1.0", False),
    ],
)
def test_a_connection_is_kept_unless_the_client_asks_to_close_it(
    lines: bytes, version: bytes, kept: bool
) -> None:
    head = read_head(b"GET / HTTP/" + version + b"\r\nHost: x\r\n" + lines + b"\r\n")
    assert head is not None
    assert head.keep_alive is kept


@pytest.mark.parametrize("more", [b"", b"Content-Length: 0\r\n"])
def test_a_request_without_a_body_waits_for_no_100(more: bytes) -> None:
    head = read_head(GET + b"Expect: 100-continue\r\n" + more + b"\r\n")
    assert head is not None
    assert not head.expects_continue


def test_the_host_of_a_url_is_the_one_that_counts() -> None:
    head = read_head(b"GET http://a:1?b HTTP/1.1\r\nX: y\r\nHost: b\r\n\r\n")
    assert head is not None
    assert head.target == b"/?b"
    assert head.scope["headers"] == [(b"host", b"a:1"), (b"x", b"y")]
    assert "Host is 'a\"'" in str(refusal(b'GET http://a"/b HTTP/1.1\r\nHost: b\r\n\r\n'))


def refusal(head: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as found:
        read_head(head)
    return found.value


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /li",
        b"GET /livez HTTP/1.1\r",
        GET,
        GET + b"\r\n",
        GET + b"\r\nwhatever\n\0 follows",
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET /livez?q=%2F%00 HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET http://a:1/livez HTTP/1.1\r\nHost: b\r\n\r\n",
        GET + b"X_Y: \xff\tz\r\nConnection: upgrade\r\n\r\n",
        GET + b"Transfer-Encoding: Chunked\r\n\r\n",
        GET + b"X: " + b"a" * (MAX_HEAD_BYTES - len(GET) - 7) + b"\r\n\r\n",
    ],
)
def test_a_head_of_one_meaning_passes(head: bytes) -> None:
    read_head(head)


@pytest.mark.parametrize(
    ("lines", "parameter", "words"),
    [
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked", "Transfer-Encoding", "both given"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1", "Transfer-Encoding", "both given"),
        (b"Content-Length: 1\r\nContent-Length: 1", "Content-Length", "given twice"),
        (b"Content-Length: 1\r\nContent-Length: 2", "Content-Length", "given twice"),
        (b"Content-Length: 1, 1", "Content-Length", "'1, 1'"),
        (b"Content-Length: +1", "Content-Length", "'+1'"),
        (b"Content-Length: 1_0", "Content-Length", "'1_0'"),
        (b"Content-Length: 0x1", "Content-Length", "'0x1'"),
        (b"Content-Length: -1", "Content-Length", "'-1'"),
        (b"Content-Length:", "Content-Length", "''"),
        (b"Content-Length: 99999999999999999999", "Content-Length", "not a number"),
        (b"Transfer-Encoding: identity", "Transfer-Encoding", "'identity'"),
        (b"Transfer-Encoding: chunked, chunked", "Transfer-Encoding", "'chunked, chunked'"),
        (b"Transfer-Encoding: gzip, chunked", "Transfer-Encoding", "'gzip, chunked'"),
        (b"Transfer-Encoding: xchunked", "Transfer-Encoding", "'xchunked'"),
        (b"Transfer-Encoding: \x0bchunked", "Transfer-Encoding", "control characters"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding", "twice"),
        (b"Transfer_Encoding: chunked", "Transfer_encoding", "Rename it"),
        (b"content_length: 1", "Content_length", "Rename it"),
        (b"Content-Type: a/b\r\nContent-Type: c/d", "Content-Type", "given twice"),
        (b"X: a\r\n b", None, "obs-fold"),
        (b"Transfer-Encoding:\r\n\tchunked", None, "obs-fold"),
        (b"Content-Length : 1", "Content-Length", "space stands before the colon"),
        (b"X: a\0", "X", "control characters"),
        (b": x", None, "is not NAME: VALUE"),
        (b"hello", "hello", "is not NAME: VALUE"),
        (b"X: a\nY: b", None, "CR or LF alone"),
        (b"X: a\rY: b", None, "CR or LF alone"),
        (b"Host: y", "Host", "given twice"),
        (b"Upgrade: h2c\r\nConnection: Upgrade", "Upgrade", "h2c is not served"),
        (b"Upgrade: websocket", "Upgrade", "websocket is not served"),
    ],
)
def test_headers_of_two_meanings_are_refused(
    lines: bytes, parameter: str | None, words: str
) -> None:
    error = refusal(GET + lines + b"\r\n\r\n")
    assert isinstance(error, MalformedRequest)
    assert words in str(error)
    assert error.details.get("parameter") == parameter


@pytest.mark.parametrize("host", [b"a/b", b"u@b", b"a b", b"a?b", b"\xe9"])
def test_a_host_that_is_no_host_is_refused(host: bytes) -> None:
    error = refusal(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert error.details["parameter"] == "Host"


def test_only_http_1_0_has_no_host_and_it_has_no_transfer_encoding() -> None:
    assert "no Host" in str(refusal(b"GET / HTTP/1.1\r\n\r\n"))
    error = refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert "HTTP/1.0 does not have" in str(error)


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (b"GET /livez", MalformedRequest, "HTTP/0.9"),
        (b"", MalformedRequest, "METHOD SP TARGET"),
        (b"\xff\xfe", MalformedRequest, "METHOD SP TARGET"),
        (b"GET /a b HTTP/1.1", MalformedRequest, "METHOD SP TARGET"),
        (b"GET /\xc3\xa9 HTTP/1.1", MalformedRequest, "in ASCII"),
        (b"GET / http/1.1", MalformedRequest, "METHOD SP TARGET"),
        (b"GET / HTTP/0.9", UnsupportedVersion, "HTTP/0.9"),
        (b"GET / HTTP/2", UnsupportedVersion, "HTTP/2 "),
        (b"GET / HTTP/1.2", UnsupportedVersion, "HTTP/1.2"),
        (b"PRI * HTTP/2.0", UnsupportedVersion, "HTTP/2.0"),
        (b"CONNECT a:443 HTTP/1.1", MalformedRequest, "proxy"),
        (b"OPTIONS * HTTP/1.1", MalformedRequest, "not a path"),
        (b"GET v1/models HTTP/1.1", MalformedRequest, "not a path"),
        (b"GET ftp://a/b HTTP/1.1", MalformedRequest, "not a path"),
        (b"GET http://u@a/b HTTP/1.1", MalformedRequest, "not a path"),
        (b"GET /a#b HTTP/1.1", MalformedRequest, "fragment"),
        (b"GET /v1%2Fmodels HTTP/1.1", MalformedRequest, "'%2F'"),
        (b"GET /v1%5cmodels HTTP/1.1", MalformedRequest, "'%5c'"),
        (b"GET /%00 HTTP/1.1", MalformedRequest, "'%00'"),
        (b"GET /%0d%0a HTTP/1.1", MalformedRequest, "'%0d'"),
        (b"GET /%zz HTTP/1.1", MalformedRequest, "'%zz'"),
    ],
)
def test_a_request_line_at_fault_is_refused_before_the_head_is_whole(
    line: bytes, error: type[Exception], words: str
) -> None:
    found = refusal(line + b"\r\n")
    assert type(found) is error
    assert words in str(found)


def test_a_head_over_a_limit_is_refused_whole_or_not() -> None:
    long = GET + b"X: " + b"a" * MAX_HEAD_BYTES
    assert type(refusal(long)) is HeadersTooLarge
    assert type(refusal(long + b"\r\n\r\n")) is HeadersTooLarge
    many = GET + b"".join(b"X-%d: y\r\n" % i for i in range(100)) + b"\r\n"
    assert "101 headers" in str(refusal(many))
    assert "101 headers" in str(refusal(GET + b"X: y\r\n" * 100 + b"\r\n"))
    target = b"GET /" + b"a" * 9000
    assert type(refusal(target)) is TargetTooLong
    assert type(refusal(target + b" HTTP/1.1\r\nHost: x\r\n\r\n")) is TargetTooLong


def test_no_refusal_repeats_a_secret() -> None:
    for head in (
        b"GET /v1/sample?api_key=hunter2\r\n",
        b"GET v1/sample?api_key=hunter2 HTTP/1.1\r\n",
        GET + b"Authorization : Bearer hunter2\r\n\r\n",
        GET + b"Authorization: Bearer hunter2\0\r\n\r\n",
        GET + b"Authorization: Bearer hunter2\r\nAuthorization: Bearer hunter2\r\n\r\n",
        GET + b"Authorization: Bearer\r\n hunter2\r\n\r\n",
    ):
        error = refusal(head)
        assert "hunter2" not in f"{error} {error.details}"


def test_a_url_as_target_is_split() -> None:
    assert split_absolute(b"HTTP://a:1/b?c=http://d") == (b"a:1", b"/b?c=http://d")
    assert split_absolute(b"https://a?b") == (b"a", b"/?b")
    assert split_absolute(b"/b?c=http://d") is None


def test_the_path_is_read_as_far_as_it_goes() -> None:
    assert path_of(b"GET /a?b=c HT") == "/a"
    assert path_of(b"\x16\x03\x01") == ""
