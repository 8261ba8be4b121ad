/* Throw-away CAs and certificates for tests. All texts are PEM and freed with g_free. */
#pragma once

#include <glib.h>

typedef struct {
    char *cert, *key;
} TestCert;

/* ca NULL: a self-signed CA. purpose: "serverAuth", "clientAuth" or NULL. ip: subjectAltName, or NULL. */
TestCert test_cert_new(const TestCert *ca, const char *common_name, const char *purpose, const char *ip);
void test_cert_done(TestCert *cert);
