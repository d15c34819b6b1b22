"""The countries of the built-in data set and their incomes.

GDP per capita in current US dollars, 2022. Source: World Bank, World Development Indicators (GDP in current
US dollars, NY.GDP.MKTP.CD, over population, SP.POP.TOTL), rounded to whole dollars.
"""

import math

GDP_PER_CAPITA_YEAR = 2022
GDP_PER_CAPITA_USD = {
    "AFG": 357,  # Afghanistan
    "ARG": 13899,  # Argentina
    "AUS": 65067,  # Australia
    "BDI": 251,  # Burundi
    "BFA": 836,  # Burkina Faso
    "BGD": 2716,  # Bangladesh
    "BOL": 3644,  # Bolivia
    "BRA": 9281,  # Brazil
    "CAN": 55514,  # Canada
    "CHE": 93246,  # Switzerland
    "CHN": 12663,  # China
    "COD": 643,  # Dem. Rep. Congo
    "COL": 6675,  # Colombia
    "DEU": 49081,  # Germany
    "EGY": 4233,  # Egypt
    "ETH": 1011,  # Ethiopia
    "FRA": 40758,  # France
    "GBR": 45690,  # United Kingdom
    "GHA": 2240,  # Ghana
    "IDN": 4731,  # Indonesia
    "IND": 2353,  # India
    "ITA": 35025,  # Italy
    "JOR": 4322,  # Jordan
    "JPN": 34017,  # Japan
    "KEN": 2091,  # Kenya
    "KHM": 1715,  # Cambodia
    "KOR": 32395,  # Korea
    "MDG": 503,  # Madagascar
    "MEX": 11378,  # Mexico
    "MOZ": 564,  # Mozambique
    "MWI": 638,  # Malawi
    "NGA": 2118,  # Nigeria
    "NPL": 1386,  # Nepal
    "PAK": 1538,  # Pakistan
    "PER": 7363,  # Peru
    "PHL": 3548,  # Philippines
    "POL": 18732,  # Poland
    "PRT": 24457,  # Portugal
    "ROU": 15691,  # Romania
    "RWA": 975,  # Rwanda
    "SEN": 1565,  # Senegal
    "SRB": 9538,  # Serbia
    "SWE": 56300,  # Sweden
    "THA": 6909,  # Thailand
    "TUR": 10674,  # Turkey
    "TZA": 1171,  # Tanzania
    "UKR": 3946,  # Ukraine
    "USA": 77074,  # United States
    "VNM": 4116,  # Vietnam
    "ZAF": 6497,  # South Africa
}
COUNTRIES = tuple(GDP_PER_CAPITA_USD)


def poverty(country: str) -> float:
    """Returns where a country stands between the richest of the table, 0, and the poorest, 1, in log income.

    >>> poverty("CHE"), poverty("BDI"), round(poverty("BRA"), 2)
    (0.0, 1.0, 0.39)
    """
    richest, poorest = max(GDP_PER_CAPITA_USD.values()), min(GDP_PER_CAPITA_USD.values())
    return math.log(richest / GDP_PER_CAPITA_USD[country]) / math.log(richest / poorest)
