/* Receipts: an acknowledgement is a promise.
 *
 * A publisher embeds a receipt next to what it will do when everybody who promised to keep the message has kept it
 * (send PUBACK, mostly). The bus holds it while it routes. A subscriber that must write first holds it too and settles
 * after its commit is on disk. When the last hold is gone, settled() is called once, with 0 or with what went wrong:
 * the first fault, else the first refusal.
 *
 * A receipt is used on the loop only. NULL is a publisher who does not ask: every function accepts it.
 */
#pragma once

#include "base/base.h"

struct receipt {
    unsigned holds;
    int r; /* 0, −errno, or a positive refusal: an MQTT 5 reason code, 0x80 and above */
    void (*settled)(struct receipt *receipt, int r);
};

static inline void receipt_init(struct receipt *receipt, void (*settled)(struct receipt *receipt, int r))
{
    *receipt = (struct receipt){.settled = settled};
}

static inline void receipt_hold(struct receipt *receipt)
{
    if (receipt)
        receipt->holds++;
}

/* Gives one hold back. A fault (negative) outranks a refusal (positive), which outranks success. The receipt may be
 * gone when this returns. */
static inline void receipt_settle(struct receipt *receipt, int r)
{
    if (!receipt)
        return;
    if (r < 0 ? receipt->r >= 0 : (r > 0 && receipt->r == 0))
        receipt->r = r;
    if (--receipt->holds == 0)
        receipt->settled(receipt, receipt->r);
}
