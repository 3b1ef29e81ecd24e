/* SHA-256, by what FIPS 180-4 and others have as examples. */
#include "base/sha256.h"

#include "rig/test.h"

#include <string.h>

static const char *sum(const void *bytes, size_t len)
{
    static char text[SHA256_TEXT];
    sha256_text(text, bytes, len);
    return text;
}

TEST(sums_are_those_of_the_standard)
{
    CHECK_STR(sum("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_STR(sum("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_STR(sum("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* The length's place in the last block, and blocks beyond one. */
TEST(sums_of_every_length_around_a_block)
{
    static const struct {
        size_t len;
        const char *sum;
    } rows[] = {
        {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
        {119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
        {120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
        {1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"},
    };
    char bytes[1000];
    memset(bytes, 'a', sizeof bytes);
    for (size_t i = 0; i < array_size(rows); i++)
        CHECK_STR(sum(bytes, rows[i].len), rows[i].sum);
}
