"""Floor 1: the Softnet dialect of ASN.1 DER, values to octets and back (01 section 2).

errors  what can be wrong with octets, one class each
writer  elements of one SEQUENCE to octets
reader  octets to elements, in order, with an end that is insisted on
times   GeneralizedTime both ways
"""
