"""How the admin writes times: in full, to the second, in an order that sorts, with their zone, which is UTC."""

DATETIME_FORMAT = "Y-m-d H:i:s e"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s e"
