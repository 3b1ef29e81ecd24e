#include "lazy/tls_table.h"

/* The first stream that is encrypted loads the part. */

const struct seal_functions *aead_functions(char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->aead_functions(why) : NULL;
}
