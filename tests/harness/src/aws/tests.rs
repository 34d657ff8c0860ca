use super::signature::Authorization;
use super::*;

/// `get-vanilla-with-session-token` and `post-x-www-form-urlencoded` of `tests/aws-signing-test-suite/v4` in
/// <https://github.com/awslabs/aws-c-auth>.
#[test]
fn signatures_are_computed_as_the_test_suite_of_aws_has_them() {
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    let with_token = Request::new("GET", "/").header("X-Amz-Security-Token", token);
    let form = "application/x-www-form-urlencoded";
    let hashed = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
    let posted = Request::new("POST", "/")
        .body(form, b"Param1=value1")
        .header("x-amz-content-sha256", hashed);
    for (request, names, signature) in [
        (
            with_token,
            "host;x-amz-date;x-amz-security-token",
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ),
        (
            posted,
            "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        ),
    ] {
        let request = request
            .header("Host", "example.amazonaws.com")
            .header("X-Amz-Date", "20150830T123600Z");
        let text = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
        );
        let parsed = Authorization::parse(&text).expect("it is one");
        assert_eq!(parsed.computed(&request, SECRET), signature);
        let mut other = request;
        other.body.push(b'x');
        assert_ne!(parsed.computed(&other, SECRET), signature);
    }
}

#[test]
fn a_request_that_nobody_signed_is_refused() {
    let aws = Aws::start();
    let request = Request::new("POST", "/")
        .header("X-Amz-Target", "TrentService.Sign")
        .body("application/x-amz-json-1.1", b"{}");
    let answer = crate::http::request(aws.address(), &request).expect("it answers");
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("MissingAuthenticationTokenException")
    );
    assert_eq!(aws.complaints().len(), 1);
}
