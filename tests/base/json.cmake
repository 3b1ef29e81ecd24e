# Documents: our own tests, and jansson as the second opinion (tests only).
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
gatehouse_test(json SOURCES test_json.c test_json_write.c test_json_number.c test_arena.c USES gh_base)
gatehouse_test(json_oracle SOURCES test_json_oracle.c oracle.c USES gh_base PkgConfig::JANSSON)
gatehouse_test(cbor SOURCES test_cbor.c USES gh_base)
gatehouse_fuzz(json SOURCES fuzz_json.c USES gh_base)
gatehouse_fuzz(cbor SOURCES fuzz_cbor.c USES gh_base)
