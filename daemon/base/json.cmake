# Documents and scratch memory; base/CMakeLists.txt takes these in.
set(JSON_SOURCES arena.c json.c json_tree.c json_number.c json_write.c cbor.c)
