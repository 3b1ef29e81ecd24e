"""A PKCS#11 token (SoftHSM) and a TPM 2.0 (swtpm) with keys, for tests: both live in a folder and leave nothing elsewhere."""
import os
import socket
import subprocess

import gateway
from gateway import Skip, check, find_tool, wait_for

PIN, OTHER_PIN = "48121", "77777"


def find_file(what, *paths):
    for path in paths:
        if os.path.exists(path):
            return path
    raise Skip(f"{what} is not installed")


def multiarch(path):
    return [f"/usr/lib/{arch}/{path}" for arch in ("x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf")]


def run(*words, environment=None):
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False)
    check(done.returncode == 0, f"{' '.join(words[:3])}: {done.stderr or done.stdout}")
    return done.stdout


class Token:
    """A token `gw`, with keys as asked for."""

    def __init__(self, folder):
        self.module = find_file("softhsm2", "/usr/lib/softhsm/libsofthsm2.so", *multiarch("softhsm/libsofthsm2.so"))
        find_file("libengine-pkcs11-openssl", *multiarch("engines-3/pkcs11.so"), *multiarch("ossl-modules/pkcs11.so"))
        self.tool = find_tool("pkcs11-tool")
        self.folder = os.path.join(folder, "token")
        os.makedirs(os.path.join(self.folder, "tokens"))
        conf = os.path.join(self.folder, "softhsm2.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(f"directories.tokendir = {self.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": conf}
        self.pin = self.write("pin", PIN + "\n")
        run(find_tool("softhsm2-util"), "--init-token", "--free", "--label", "gw", "--pin", PIN, "--so-pin", OTHER_PIN,
            environment=self.environment)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def make(self, name, kind="EC:prime256v1"):
        run(self.tool, "--module", self.module, "--token-label", "gw", "--login", "--pin", PIN, "--keypairgen", "--key-type",
            kind, "--label", name, "--id", name.encode().hex(), environment=self.environment)
        return self.key(name)

    def key(self, name, pin=None, token="gw"):
        return f"pkcs11:token={token};object={name}?module-path={self.module};pin-source={pin or self.pin}"


def certificate(certificates, token, name):
    """A certificate, CN=hsm, for a new key that is in the token, and where the key is."""
    key = token.make(name)
    der, pem, cert = (certificates.path(name + end) for end in (".der", ".pub", ".pem"))
    run(token.tool, "--module", token.module, "--token-label", "gw", "--read-object", "--type", "pubkey", "--label", name, "-o", der,
        environment=token.environment)
    certificates.run("pkey", "-pubin", "-inform", "DER", "-in", der, "-pubout", "-out", pem)
    certificates.run("x509", "-new", "-subj", "/CN=hsm", "-force_pubkey", pem, "-CA", certificates.ca, "-CAkey", certificates.ca_key,
                     "-days", "1", "-out", cert)
    return cert, key


class Tpm:
    """swtpm at two ports of its own; keys are OpenSSL's files, and persistent objects."""

    def __init__(self, folder):
        self.program = find_tool("swtpm")
        find_file("tpm2-openssl", *multiarch("ossl-modules/tpm2.so"))
        self.openssl, self.flush = find_tool("openssl"), find_tool("tpm2_flushcontext")
        self.folder = os.path.join(folder, "tpm")
        os.makedirs(os.path.join(self.folder, "state"))
        # Its control port is the next one, for the TCTI.
        for _ in range(100):
            port = gateway.free_port()
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port + 1))
                    break
                except OSError:
                    continue
        tcti = f"swtpm:host=127.0.0.1,port={port}"
        self.environment = {"TPM2TOOLS_TCTI": tcti, "TPM2OPENSSL_TCTI": tcti}
        self.process = subprocess.Popen(
            [self.program, "socket", "--tpm2", "--tpmstate", f"dir={self.folder}/state", "--server",
             f"type=tcp,bindaddr=127.0.0.1,port={port}", "--ctrl", f"type=tcp,bindaddr=127.0.0.1,port={port + 1}", "--flags",
             "not-need-init,startup-clear"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.is_there(port + 1), "swtpm listens")

    def is_there(self, port):
        check(self.process.poll() is None, f"swtpm ended with status {self.process.returncode}")
        with open("/proc/net/tcp", encoding="ascii") as file:
            return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file if ":" in line)

    def make(self, name):
        """A key that the TPM has wrapped, in a file."""
        path = os.path.join(self.folder, name + ".pem")
        run(self.openssl, "genpkey", "-provider", "tpm2", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", path,
            environment=self.environment)
        self.tidy()
        return path

    def make_persistent(self, handle):
        context = os.path.join(self.folder, "primary.ctx")
        run(find_tool("tpm2_createprimary"), "-C", "o", "-G", "ecc256:ecdsa-sha256", "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", "-c", context, environment=self.environment)
        self.tidy()
        run(find_tool("tpm2_evictcontrol"), "-C", "o", "-c", context, handle, environment=self.environment)
        self.tidy()
        return "handle:" + handle

    def tidy(self):
        """It has three places, and there is no manager of them here."""
        run(self.flush, "-t", environment=self.environment)

    def end(self):
        self.process.kill()
        self.process.wait()
